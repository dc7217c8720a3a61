"""The training loop: three stages, one optimiser, resumable at any step."""

import logging
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cgsam_edge.export.reference import ReferenceModel
from cgsam_edge.export.reference.similarity import dense_prompt, similarity, similarity_map
from cgsam_edge.quality.scenes import CONCEPTS
from training.cache import Labelled
from training.data import Batch, Sampler, draw_concepts
from training.evaluate import evaluate, evaluate_towers
from training.losses import dense_loss, mask_loss, mask_target, patch_loss, picture_loss
from training.model import DenseHead, TokenHead, decode, encode, features, pixels_of, prefix, sized, suffix
from training.optimiser import Optimiser
from training.prompts import draw_kind, draw_prompts
from training.schedule import STAGES, Schedule
from training.state import save_state
from training.text import Vocabulary, vocabulary

log = logging.getLogger("training")

PICTURES = {"coarse": 16, "dense": 6, "half": 8, "joint": 4}
"""Pictures per step of each stage."""

SMALL = ("coarse", "half")
"""Stages on pictures of half the side, which cost a quarter."""

BLIND = 0.3
"""Share of the pairs whose adapters see no similarity: without them, the model never learns to use the text."""

ZOOM = 1.6
"""How much nearer their windows are: the model meets things at the size in patches that they have in whole pictures."""


@dataclass(frozen=True)
class Run:
    """What a run is made of besides the model.

    Attributes:
        sampler: training batches.
        held_out: labelled pictures that no step sees.
        schedule: stages and learning rate.
        state: file to resume from.
        seed: of everything random.
        concepts: concepts per picture in the joint stage.
        save_every, evaluate_every: seconds.
        evaluated: held-out pictures per evaluation.
    """

    sampler: Sampler
    held_out: Labelled
    schedule: Schedule
    state: Path
    seed: int = 0
    concepts: int = 3
    save_every: float = 150.0
    evaluate_every: float = 420.0
    evaluated: int = 40


class Calibration(nn.Module):
    """Scales and biases of the similarity losses (as in SigLIP); they are not part of the checkpoint."""

    def __init__(self) -> None:
        super().__init__()
        self.patch_scale, self.patch_bias = nn.Parameter(torch.tensor(2.5)), nn.Parameter(torch.tensor(2.0))
        self.picture_scale, self.picture_bias = nn.Parameter(torch.tensor(2.3)), nn.Parameter(torch.tensor(0.0))


@dataclass
class Trainer:
    """The model, what only training needs, and the steps taken so far."""

    model: ReferenceModel
    run: Run
    taken: dict[str, int] = field(default_factory=lambda: dict.fromkeys(STAGES, 0))
    losses: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Freeze the text tower and make the optimiser."""
        self.device = next(self.model.parameters()).device
        self.head = DenseHead(self.model.config.sam, len(CONCEPTS)).to(self.device)
        self.token_head = TokenHead(self.model.config.sam, len(CONCEPTS)).to(self.device)
        self.calibration = Calibration().to(self.device)
        for name, parameter in self.model.clip.named_parameters():
            parameter.requires_grad_(name.startswith("visual."))
        modules = nn.ModuleList([self.model, self.head, self.token_head, self.calibration])
        self.parameters = [p for p in modules.parameters() if p.requires_grad]
        self.optimiser = Optimiser(modules)
        with torch.no_grad():
            words = vocabulary(self.model)
        self.words = Vocabulary(words.features.detach(), words.variants.detach())

    @property
    def step(self) -> int:
        """Steps taken in all."""
        return sum(self.taken.values())

    def snapshot(self, progress: float) -> dict[str, Any]:
        """Return everything that a resumed run needs."""
        return {
            "model": self.model.state_dict(), "head": self.head.state_dict(),
            "token_head": self.token_head.state_dict(), "calibration": self.calibration.state_dict(),
            "optimiser": self.optimiser.state_dict(), "taken": self.taken, "progress": progress,
        }  # fmt: skip

    def heads(self) -> dict[str, Tensor]:
        """Return the weights that only training needs, by part and name."""
        parts = {"head": self.head, "token_head": self.token_head, "calibration": self.calibration}
        return {
            f"{part}.{name}": value for part, module in parts.items() for name, value in module.state_dict().items()
        }

    def resume(self, state: dict[str, Any], *, weights_only: bool) -> None:
        """Take over a state; with ``weights_only`` as the start of another run."""
        self.model.load_state_dict(state["model"])
        self.head.load_state_dict(state["head"])
        if "token_head" in state:
            self.token_head.load_state_dict(state["token_head"])
        self.calibration.load_state_dict(state["calibration"])
        if not weights_only:
            self.optimiser.load_state_dict(state["optimiser"])
            self.taken = dict(state["taken"])
        with torch.no_grad():
            words = vocabulary(self.model)
        self.words = Vocabulary(words.features.detach(), words.variants.detach())

    def train(self) -> None:
        """Step until the schedule ends; save, evaluate and log on the way."""
        schedule, run = self.run.schedule, self.run
        saved = evaluated = shown = time.monotonic()
        with ThreadPoolExecutor(1) as pool:
            stage = schedule.stage(schedule.progress(self.taken))
            following = pool.submit(self.draw, self.step, stage)
            while (progress := schedule.progress(self.taken)) < 1:
                stage, batch = schedule.stage(progress), following.result()
                following = pool.submit(self.draw, self.step + 1, stage)
                self.optimiser.set_rate(schedule.rate(progress))
                self.losses.append(self.advance(stage, batch))
                self.taken[stage] += 1
                now = time.monotonic()
                if now - shown > 30:
                    self._show(stage, progress)
                    shown = now
                if now - saved > run.save_every:
                    save_state(run.state, self.snapshot(progress))
                    saved = time.monotonic()
                if now - evaluated > run.evaluate_every:
                    self.report(stage)
                    evaluated = time.monotonic()
        save_state(run.state, self.snapshot(1.0))

    def draw(self, step: int, stage: str) -> Batch:
        """Return the pictures of a step."""
        size = self.model.config.sam.image_size
        if stage in SMALL:
            return self.run.sampler.batch(step, PICTURES[stage], size // 2, ZOOM)
        return self.run.sampler.batch(step, PICTURES[stage])

    def _show(self, stage: str, progress: float) -> None:
        recent = float(np.mean(self.losses[-50:]))
        rate = self.optimiser.rate
        log.info(
            "%s step %d of %d, progress %.3f, lr %.1e, loss %.4f",
            stage,
            self.taken[stage],
            self.step,
            progress,
            rate,
            recent,
        )

    def report(self, stage: str) -> None:
        """Log how good the model is on held-out pictures."""
        run = self.run
        self.model.eval()
        with mixed(self.device):
            if stage in ("half", "joint"):
                log.info("held out, text-only: %s", evaluate(self.model, self.words, run.held_out, run.evaluated))
            else:
                score, hits = evaluate_towers(self.model, self.head, self.words, run.held_out, run.evaluated)
                log.info("held out, towers: points inside %.3f, %s", hits, score)
        self.model.train()

    def advance(self, stage: str, batch: Batch) -> float:
        """Take one optimiser step and return its loss."""
        with mixed(self.device):
            loss = self.joint_loss(batch) if stage in ("half", "joint") else self.tower_loss(batch)
        self.optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimiser.step()
        return float(loss.detach())

    def _clip_loss(self, found: Tensor, labels: Tensor, present: Tensor) -> Tensor:
        """Tie CLIP's patches and class token to the text features."""
        c, text = self.calibration, self.words.features
        with torch.autocast(self.device.type, enabled=False):
            patches = patch_loss(found, text, labels, c.patch_scale, c.patch_bias)
            return patches + 0.3 * picture_loss(found[:, 0], text, present, c.picture_scale, c.picture_bias)

    def tower_loss(self, batch: Batch) -> Tensor:
        """Pretrain both towers: CLIP against captions of patches and pictures, SAM's encoder against all concepts."""
        labels = batch.labels.to(self.device)
        pixels = pixels_of(batch.images.to(self.device), labels.shape[-1])
        present = torch.from_numpy(batch.present()).float().to(self.device)
        clip = self._clip_loss(features(self.model, pixels).float(), labels, present)
        tokens = prefix(self.model, pixels)
        logits = self.head(self.model, suffix(self.model, tokens, None, None))
        return dense_loss(logits, labels) + 0.5 * dense_loss(self.token_head(tokens), labels) + clip

    def joint_loss(self, batch: Batch) -> Tensor:
        """Train the whole model on some concepts of each picture, prompted as in use or by clicks or boxes."""
        model, run = self.model, self.run
        rng = np.random.default_rng((run.seed, self.step, 2))
        kind = draw_kind(rng)
        here = batch.present()
        drawn = draw_concepts(rng, here, run.concepts, 0.25 if kind == "text" else 0.0).ravel()
        concepts = torch.from_numpy(drawn).to(self.device)
        labels, repeat = batch.labels.to(self.device), run.concepts
        side, prompt = labels.shape[-1], model.config.prompt
        pixels = pixels_of(batch.images.to(self.device), side)
        found = features(model, pixels).float()
        clip = self._clip_loss(found, labels, torch.from_numpy(here).float().to(self.device))
        text = self.words.variants[
            concepts, torch.from_numpy(rng.choice(3, len(drawn), p=[0.6, 0.2, 0.2])).to(self.device)
        ]
        each = found.repeat_interleave(repeat, 0)
        tokens = prefix(model, pixels)
        seen = dense_loss(self.token_head(tokens), labels)
        shown = torch.from_numpy((rng.random(len(drawn)) >= BLIND).astype(np.float32)).to(self.device)
        embedding = encode(model, tokens.repeat_interleave(repeat, 0), each, text, shown)
        wanted = labels.repeat_interleave(repeat, 0)
        with torch.autocast(self.device.type, enabled=False):
            maps = similarity_map(similarity(each.detach(), text), side)
            dense = dense_prompt(maps, side // 4, prompt.threshold, prompt.dense_value)
        prompts = draw_prompts(rng, kind, maps, wanted == concepts[:, None, None], prompt)
        with sized(model, side):
            logits, iou = decode(model, embedding, dense, prompts)
        target, weight = mask_target(wanted, concepts, logits.shape[-1])
        return mask_loss(logits[:, 0], iou, target, weight) + 0.5 * (clip + seen)


def mixed(device: torch.device) -> AbstractContextManager[Any]:
    """Return a context that computes in bfloat16 where the hardware does; without its instructions that is far slower."""
    quick = device.type != "cpu" or torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return torch.autocast(device.type, torch.bfloat16, enabled=quick)
