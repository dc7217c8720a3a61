"""Train a model and write its checkpoint: ``python -m training --recipe scenes --output FILE.safetensors``."""

import argparse
import datetime
import logging
import platform
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from training.cache import Labelled, rendered
from training.data import Sampler, read_folder
from training.evaluate import evaluate
from training.model import initialise, small_config
from training.schedule import Schedule
from training.state import load_start, load_state, write_checkpoint
from training.text import SYNONYMS, train_text
from training.train import Run, Trainer, log

TRAINING_SERIES, HELD_OUT_SERIES = 0, 1
"""Seeds of the rendered scenes that steps see, and of those that the log's metrics come from."""


@dataclass(frozen=True)
class Recipe:
    """What a model is trained on, and how the run is divided.

    Attributes:
        shares: of the stages (see ``schedule.STAGES``).
        camvid: share of real pictures, 0 for none.
        peak: highest learning rate.
    """

    shares: tuple[float, ...]
    camvid: float
    peak: float


RECIPES = {"scenes": Recipe((0.45, 0.05, 0.0, 0.5), 0.0, 6e-4), "streets": Recipe((0.45, 0.05, 0.0, 0.5), 0.75, 6e-4)}


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
    length.add_argument("--minutes", type=float, default=120.0, help="how long the run takes from now on")
    length.add_argument("--until", help="local time HH:MM at which it ends instead")
    length.add_argument(
        "--stage-steps", help="steps of the four stages instead, e.g. 900,300,500,400: repeatable elsewhere"
    )
    parser.add_argument("--shares", help="of the four stages in the run, e.g. 0,0,0,1 to continue the joint stage")
    parser.add_argument("--scenes", type=int, default=4000, help="rendered scenes to train on")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0, help="CPU threads, 0 for torch's own choice")
    return parser.parse_args()


def _seconds_left(args: argparse.Namespace) -> float:
    """Return how long the run may take."""
    if not args.until:
        return float(args.minutes) * 60
    now = datetime.datetime.now().astimezone()
    hour, minute = map(int, args.until.split(":"))
    end = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
    return (end - now).total_seconds() % 86400


def _start_log(path: Path) -> None:
    """Log to a file and to the terminal."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handlers: list[logging.Handler] = [logging.FileHandler(path), logging.StreamHandler()]
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", handlers=handlers)


def _commit() -> str:
    """Return the commit of the code, or "unknown"."""
    here = Path(__file__).parent
    done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def _sets(args: argparse.Namespace, recipe: Recipe, size: int) -> tuple[list[Labelled], list[float], Labelled]:
    """Return the training sets, how often each is drawn, and held-out pictures."""
    cache = args.work / "cache"
    scenes = rendered(cache, TRAINING_SERIES, args.scenes, size)
    if not recipe.camvid:
        return [scenes], [1.0], rendered(cache, HELD_OUT_SERIES, 200, size)
    if args.camvid is None:
        raise SystemExit(f"--recipe {args.recipe} needs --camvid DIR")
    return (
        [scenes, read_folder(args.camvid / "train")],
        [1 - recipe.camvid, recipe.camvid],
        read_folder(args.camvid / "val"),
    )


def main() -> None:
    """Train, save, and write the checkpoint."""
    args, began = parse(), time.time()
    recipe = RECIPES[args.recipe]
    _start_log(args.work / f"{args.recipe}.log")
    if args.threads:
        torch.set_num_threads(args.threads)
    config = small_config()
    sets, shares, held_out = _sets(args, recipe, config.sam.image_size)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = initialise(config, args.seed).to(device)
    state_file = args.work / f"{args.recipe}.state"
    start = load_state(state_file) if state_file.exists() else None
    steps = tuple(map(int, args.stage_steps.split(","))) if args.stage_steps else None
    if start is None and args.init is None:
        log.info("text tower: loss %.4f", train_text(model, 100, args.seed)[-1])
    shares_of_stages = tuple(map(float, args.shares.split(","))) if args.shares else recipe.shares
    schedule = Schedule(shares_of_stages, _seconds_left(args), steps, start["progress"] if start else 0.0, recipe.peak)
    sampler = Sampler(sets, shares, config.sam.image_size, args.seed)
    trainer = Trainer(model, Run(sampler, held_out, schedule, state_file, args.seed))
    if start is not None or args.init is not None:
        trainer.resume(start or load_start(args.init), weights_only=start is None)
    log.info("%s: from step %d, %.0f s left, on %s", args.recipe, trainer.step, schedule.seconds, device)
    model.train()
    trainer.train()
    model.eval()
    score = evaluate(model, trainer.words, held_out, 200)
    log.info("final, all held-out pictures, text-only: %s", score)
    write_checkpoint(args.output, model, {
        "trained_for": "text,clicks", "norm_dim": 1, "recipe": args.recipe, "seed": args.seed, "steps": trainer.taken,
        "commit": _commit(), "seconds": round(time.time() - began), "machine": f"{platform.machine()}, {torch.get_num_threads()} threads, {device}",
        "concepts": {name: [name, *more] for name, more in SYNONYMS.items()}, "held_out_miou": round(score.mean, 4),
    }, trainer.heads())  # fmt: skip
    log.info("wrote %s", args.output)


if __name__ == "__main__":
    main()
