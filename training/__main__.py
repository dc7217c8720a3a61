"""Train a model and write its checkpoint: ``python -m training --recipe scenes --output FILE.safetensors``."""

import argparse
import datetime
import logging
import os
import platform
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from cgsam_edge.export.config import ModelConfig
from training.augment import STRONG, palette_of
from training.cache import TRAINING_MIXES, Labelled, Rendering, rendered
from training.data import Pictures, Sampler, Source, read_folder
from training.evaluate import evaluate
from training.model import initialise, small_config
from training.schedule import Schedule
from training.state import load_start, load_state, write_checkpoint
from training.text import SYNONYMS, train_text
from training.train import Run, Trainer, log

SCENE_SIDE = 512
"""Side of rendered scenes in pixels; smaller models see them scaled down."""

TRAINING_SERIES, HELD_OUT_SERIES = 0, 1
"""Seeds of the rendered scenes that steps see, and of those that the log's metrics come from."""


@dataclass(frozen=True)
class Recipe:
    """The data of a model, and the division of its run.

    Attributes:
        shares: of the stages (see ``schedule.STAGES``).
        camvid: share of real pictures, 0 for none.
        peak: highest learning rate.
        config: sizes of the model.
    """

    shares: tuple[float, ...]
    camvid: float
    peak: float
    config: ModelConfig


TINY = small_config(image_size=320, width=128, blocks=5, semantic=2, clip_mlp=2, prompt_width=96)
"""Under 1 GMAC for a picture with one concept, and about 4 MB in INT8: for tests, and for a browser's first load."""

RECIPES = {
    "scenes": Recipe((0.45, 0.05, 0.0, 0.5), 0.0, 6e-4, small_config()),
    "streets": Recipe((0.45, 0.05, 0.0, 0.5), 0.75, 6e-4, small_config()),
    "tiny": Recipe((0.35, 0.0, 0.25, 0.4), 0.0, 1e-3, TINY),
}


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    parser.add_argument("--recipe", choices=list(RECIPES), required=True)
    parser.add_argument("--output", type=Path, required=True, help="checkpoint to write (.safetensors)")
    parser.add_argument("--work", type=Path, default=Path("training-work"), help="folder for the state, cache and log")
    parser.add_argument(
        "--camvid", type=Path, help="folder with train/ and val/, each with images/ and labels/ (streets)"
    )
    parser.add_argument(
        "--init",
        type=Path,
        help="state of another run, or a checkpoint that one wrote, to start from: e.g. scenes for streets",
    )
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--minutes", type=float, default=120.0, help="minutes that the run takes from now on")
    length.add_argument("--until", help="instead of --minutes: local time HH:MM at which the run ends")
    length.add_argument(
        "--stage-steps",
        help="instead of a time: steps of the four stages, e.g. 900,300,500,400",
    )
    parser.add_argument("--shares", help="shares of the four stages, e.g. 0,0,0,1 to continue the joint stage")
    parser.add_argument("--scenes", type=int, default=4000, help="rendered scenes to train on (default: %(default)s)")
    parser.add_argument(
        "--first", type=int, help="begin once this number of scenes is rendered; the others join later (default: all)"
    )
    parser.add_argument("--batch", type=float, default=1.0, help="factor for the number of pictures per step")
    parser.add_argument("--held-out", type=int, default=200, help="number of pictures of the last evaluation")
    parser.add_argument("--evaluate-every", type=float, default=420.0, help="seconds between short evaluations")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0, help="CPU threads, 0 for torch's own choice")
    return parser.parse_args()


def _end(args: argparse.Namespace, began: float) -> float:
    """Return the time at which the run must end, as `time.time` counts."""
    if not args.until:
        return began + float(args.minutes) * 60
    now = datetime.datetime.now().astimezone()
    hour, minute = map(int, args.until.split(":"))
    end = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
    return began + (end - now).total_seconds() % 86400


def _last_evaluation(trainer: Trainer, count: int) -> float:
    """Estimate the seconds that the last evaluation and the checkpoint will take, from a short evaluation."""
    tried = 3
    evaluate(trainer.model.eval(), trainer.words, trainer.run.held_out, 1)  # the first one prepares
    start = time.time()
    evaluate(trainer.model, trainer.words, trainer.run.held_out, tried)
    trainer.model.train()
    return (time.time() - start) / tried * count * 1.1 + 2


def _start_log(path: Path) -> None:
    """Log to a file and to the terminal."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handlers: list[logging.Handler] = [logging.FileHandler(path), logging.StreamHandler()]
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", handlers=handlers)


def _commit() -> str:
    """Return the commit of the code: git's, else the variable ``GIT_COMMIT``, else "unknown"."""
    here = Path(__file__).parent
    done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=False)
    return done.stdout.strip() or os.environ.get("GIT_COMMIT", "unknown")


@dataclass(frozen=True)
class Sets:
    """The data that a run trains on and is judged on.

    Attributes:
        sources: of the batches; the first is the rendered scenes.
        held_out: pictures that no step sees.
        rendering: the rendering of further scenes.
    """

    sources: Sequence[Source]
    held_out: Labelled
    rendering: Rendering


def _sets(args: argparse.Namespace, recipe: Recipe, device: torch.device) -> Sets:
    size, cache, workers = SCENE_SIDE, args.work / "cache", os.cpu_count() or 2
    if recipe.camvid and args.camvid is None:
        raise SystemExit(f"--recipe {args.recipe} needs --camvid DIR")
    held_out = (
        read_folder(args.camvid / "val")
        if recipe.camvid
        else rendered(cache, HELD_OUT_SERIES, args.held_out, size, workers)
    )
    rendering = Rendering(cache, TRAINING_SERIES, args.scenes, size, workers, TRAINING_MIXES)
    pictures = Pictures(args.scenes, size, size, device)
    first = rendering.wait(args.first or args.scenes)
    pictures.add(first.images, first.labels)
    if not recipe.camvid:
        return Sets([Source(pictures)], held_out, rendering)
    frames = Pictures.of(read_folder(args.camvid / "train"), device)
    scenes = Source(pictures, 1 - recipe.camvid, look=STRONG, palette=palette_of(frames.images))
    return Sets([scenes, Source(frames, recipe.camvid, 0.3, STRONG)], held_out, rendering)


def _state_file(args: argparse.Namespace) -> Path:
    return Path(args.work) / f"{args.recipe}.state"


def _origin(args: argparse.Namespace) -> dict[str, str]:
    """Return the options that must agree for a run to continue from a state: those that decide what it trains."""
    options = {name: str(getattr(args, name)) for name in ("recipe", "init", "shares", "stage_steps", "seed")}
    return {**options, "mixes": ",".join(mix.name for mix in TRAINING_MIXES)}


def interrupted(path: Path, origin: dict[str, str]) -> dict[str, Any] | None:
    """Return the state of an interrupted run with the same options, or None.

    Raises:
        SystemExit: the state belongs to other options, or its run has ended.
    """
    if not path.exists():
        return None
    state = load_state(path)
    differs = [f"{name} {state['origin'].get(name)}, now {value}" for name, value in origin.items()
               if state.get("origin", {}).get(name) != value] if "origin" in state else ["no options are recorded"]  # fmt: skip
    if state["progress"] >= 1:
        differs = ["that run has ended"]
    if differs:
        raise SystemExit(
            f"{path}: the state of another run ({'; '.join(differs)}). Delete it to begin anew, or name another "
            "folder with --work."
        )
    return state


def _trainer(args: argparse.Namespace, recipe: Recipe, sets: Sets, device: torch.device, end: float) -> Trainer:
    """Return the trainer: from the state of an interrupted run, from another model, or from seeded weights."""
    model = initialise(recipe.config, args.seed).to(device)
    start = interrupted(_state_file(args), _origin(args))
    steps = tuple(map(int, args.stage_steps.split(","))) if args.stage_steps else None
    if start is None and args.init is None:
        log.info("text tower: loss %.4f", train_text(model, 100, args.seed)[-1])
    shares = tuple(map(float, args.shares.split(","))) if args.shares else recipe.shares
    schedule = Schedule(shares, 0.0, steps, start["progress"] if start else 0.0, recipe.peak)
    run = Run(
        Sampler(sets.sources, recipe.config.sam.image_size, args.seed), sets.held_out, schedule, _state_file(args), args.seed,
        sets.rendering, args.batch, evaluate_every=args.evaluate_every, origin=_origin(args),
    )  # fmt: skip
    trainer = Trainer(model, run)
    if start is not None or args.init is not None:
        trainer.resume(start or load_start(args.init), weights_only=start is None)
    model.train()
    trainer.choose_arithmetic()
    needed = _last_evaluation(trainer, min(args.held_out, len(sets.held_out)))
    schedule.begin(end - time.time() - needed)
    return trainer


def main() -> None:
    """Train, save, and write the checkpoint."""
    args, began = parse(), time.time()
    recipe = RECIPES[args.recipe]
    _start_log(args.work / f"{args.recipe}.log")
    if args.threads:
        torch.set_num_threads(args.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.set_float32_matmul_precision("high")  # on a GPU: what remains in float32 may be TF32
    sets = _sets(args, recipe, device)
    trainer = _trainer(args, recipe, sets, device, _end(args, began))
    left = trainer.run.schedule.seconds
    log.info(
        "%s: from step %d, %.0f s of steps, %s a step, on %s", args.recipe, trainer.step, left, trainer.pictures, device
    )
    try:
        trainer.train()
    finally:
        sets.rendering.stop()
    trainer.model.eval()
    with trainer.average.in_place():
        score = evaluate(trainer.model, trainer.words, sets.held_out, args.held_out)
        log.info("final, all held-out pictures, text-only: %s", score)
        write_checkpoint(args.output, trainer.model, {
            "trained_for": "text,clicks", "norm_dim": 1, "recipe": args.recipe, "seed": args.seed, "steps": trainer.taken,
            "commit": _commit(), "seconds": round(time.time() - began), "machine": f"{platform.machine()}, {torch.get_num_threads()} threads, {device}",
            "concepts": {name: [name, *more] for name, more in SYNONYMS.items()}, "held_out_miou": round(score.mean, 4),
        }, trainer.heads())  # fmt: skip
    _state_file(args).unlink(missing_ok=True)  # the checkpoint holds all that a further run needs
    log.info("wrote %s after %.0f s", args.output, time.time() - began)


if __name__ == "__main__":
    main()
