"""The training loop: stages, one optimiser, averaged weights, resumable at any step."""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cgsam_edge.export.reference import ReferenceModel
from cgsam_edge.quality.scenes import CONCEPTS
from training.average import Average
from training.cache import Labelled, Rendering
from training.data import Batch, Sampler
from training.evaluate import evaluate, evaluate_towers
from training.model import DenseHead, TokenHead
from training.objective import Calibration, Objective
from training.optimiser import Optimiser
from training.schedule import STAGES, Schedule
from training.state import save_state
from training.steps import JOINT, SMALL, mixed, pictures_of, rate_of, reduced_is_faster
from training.text import Vocabulary, vocabulary

log = logging.getLogger("training")

ZOOM = 1.6
"""Zoom of small stages: things then have the size in patches that they have in whole pictures."""


@dataclass(frozen=True)
class Run:
    """The parts of a run besides the model.

    Attributes:
        sampler: training batches.
        held_out: labelled pictures that no step sees.
        schedule: stages and learning rate.
        state: file to resume from.
        seed: of everything random.
        rendering: scenes that join the sampler's first source as they come; None where all are there.
        batch: factor for the number of pictures per step.
        concepts: concepts per picture of a joint step.
        save_every, evaluate_every: seconds.
        evaluated: held-out pictures per evaluation.
        origin: options that a resumed run must have; kept in the state.
    """

    sampler: Sampler
    held_out: Labelled
    schedule: Schedule
    state: Path
    seed: int = 0
    rendering: Rendering | None = None
    batch: float = 1.0
    concepts: int = 3
    save_every: float = 60.0
    evaluate_every: float = 420.0
    evaluated: int = 40
    origin: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Trainer:
    """The model, what only training needs, and the steps taken so far.

    Attributes:
        model: on the device that trains it, which holds the sampler's pictures too.
        run: what to train it with.
        taken: steps of each stage.
        losses: of the steps that this process took.
    """

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
        self.average = Average(modules)
        self.pictures = pictures_of(self.device, self.run.batch)
        pictures = self.run.sampler.sources[0].pictures
        rarity, self._known = pictures.rarity, len(pictures)
        self.objective = Objective(
            self.model,
            self.head,
            self.token_head,
            self.calibration,
            self._words(),
            rarity,
            self.run.seed,
            self.run.concepts,
        )
        self.reduced = False
        self._recent: list[Tensor] = []

    def _words(self) -> Vocabulary:
        with torch.no_grad():
            words = vocabulary(self.model)
        return Vocabulary(words.features.detach(), words.variants.detach())

    @property
    def words(self) -> Vocabulary:
        """Text features of the concepts, by the frozen text tower."""
        return self.objective.words

    @property
    def step(self) -> int:
        """Steps taken in all."""
        return sum(self.taken.values())

    def snapshot(self, progress: float) -> dict[str, Any]:
        """Return everything that a resumed run needs."""
        return {
            "model": self.model.state_dict(), "head": self.head.state_dict(),
            "token_head": self.token_head.state_dict(), "calibration": self.calibration.state_dict(),
            "optimiser": self.optimiser.state_dict(), "average": self.average.state_dict(),
            "taken": self.taken, "progress": progress, "origin": dict(self.run.origin),
        }  # fmt: skip

    def heads(self) -> dict[str, Tensor]:
        """Return the weights that only training needs, by part and name."""
        parts = {"head": self.head, "token_head": self.token_head, "calibration": self.calibration}
        return {
            f"{part}.{name}": value for part, module in parts.items() for name, value in module.state_dict().items()
        }

    def resume(self, state: dict[str, Any], *, weights_only: bool) -> None:
        """Load a state; with ``weights_only``, to start another run from it."""
        self.model.load_state_dict(state["model"])
        self.head.load_state_dict(state["head"])
        if "token_head" in state:
            self.token_head.load_state_dict(state["token_head"])
        self.calibration.load_state_dict(state["calibration"])
        self.average.restart()
        if not weights_only:
            self.optimiser.load_state_dict(state["optimiser"])
            self.taken = dict(state["taken"])
            if "average" in state:
                self.average.load_state_dict(state["average"])
        self.objective.words = self._words()

    def train(self) -> None:
        """Step until the schedule ends; save, evaluate and log on the way."""
        schedule, run = self.run.schedule, self.run
        saved = evaluated = shown = time.monotonic()
        while (progress := schedule.progress(self.taken)) < 1:
            stage = schedule.stage(progress)
            self.optimiser.set_rate(schedule.rate(progress) * rate_of(self.pictures))
            self._recent.append(self._fitting_step(stage))
            self.taken[stage] += 1
            now = time.monotonic()
            if now - shown > 30:
                self._show(stage, progress)
                shown = now
            if now - saved > run.save_every:
                self._flush()
                save_state(run.state, self.snapshot(progress))
                saved = time.monotonic()
            if now - evaluated > run.evaluate_every:
                self.report(stage)
                evaluated = time.monotonic()
        self._flush()
        save_state(run.state, self.snapshot(1.0))

    def choose_arithmetic(self) -> None:
        """Measure a joint step in float32 and in bfloat16, and use the faster arithmetic from now on."""
        batch = self.draw(self.step, "joint")

        def try_step(reduced: bool) -> None:
            self.reduced = reduced
            self._loss("joint", batch).backward()
            self.optimiser.zero_grad()

        self.reduced = reduced_is_faster(self.device, try_step)
        self.optimiser.muon.dtype = torch.bfloat16 if self.reduced else torch.float32

    def _fitting_step(self, stage: str) -> Tensor:
        """Take a step, of fewer pictures from now on where the device's memory is too small."""
        while (loss := self._step_or_none(stage)) is None:
            self.pictures[stage] //= 2
            count = self.pictures[stage]
            log.info("%s: the device's memory is too small, %d pictures a step from now on", stage, count)
            self.optimiser.zero_grad()
            torch.cuda.empty_cache()
        return loss

    def _step_or_none(self, stage: str) -> Tensor | None:
        try:
            return self.advance(stage, self.draw(self.step, stage))
        except torch.cuda.OutOfMemoryError:
            if self.pictures[stage] == 1:
                raise
            return None

    def draw(self, step: int, stage: str) -> Batch:
        """Return the pictures of a step."""
        self._take_rendered()
        size = self.model.config.sam.image_size
        if stage in SMALL:
            return self.run.sampler.batch(step, self.pictures[stage], size // 2, ZOOM)
        return self.run.sampler.batch(step, self.pictures[stage])

    def _take_rendered(self) -> None:
        """Add scenes that were rendered meanwhile."""
        rendering, pictures = self.run.rendering, self.run.sampler.sources[0].pictures
        if rendering is None or self.step % 20 or len(pictures) == len(pictures.labels):
            return
        scenes = rendering.wait(0)
        if len(scenes) > len(pictures):
            pictures.add(scenes.images[len(pictures) :], scenes.labels[len(pictures) :])
        if len(pictures) >= 2 * self._known:
            self.objective.rarity, self._known = pictures.rarity, len(pictures)

    def _flush(self) -> None:
        """Fetch the losses of the last steps from the device.

        Raises:
            FloatingPointError: one is not finite; the last state that was saved is from before.
        """
        if not self._recent:
            return
        fetched = torch.stack(self._recent).tolist()
        self._recent = []
        if not np.isfinite(fetched).all():
            raise FloatingPointError(f"the loss was not finite by step {self.step}; continue from {self.run.state}")
        self.losses += fetched

    def _show(self, stage: str, progress: float) -> None:
        self._flush()
        log.info(
            "%s step %d of %d, progress %.3f, lr %.1e, loss %.4f, %d pictures",
            stage, self.taken[stage], self.step, progress, self.optimiser.rate, float(np.mean(self.losses[-50:])),
            len(self.run.sampler.sources[0].pictures),
        )  # fmt: skip

    def report(self, stage: str) -> None:
        """Log how good the averaged weights are on held-out pictures."""
        run = self.run
        self.model.eval()
        with self.average.in_place(), mixed(self.device, reduced=self.reduced):
            if stage in JOINT:
                log.info("held out, text-only: %s", evaluate(self.model, self.words, run.held_out, run.evaluated))
            else:
                score, hits = evaluate_towers(self.model, self.head, self.words, run.held_out, run.evaluated)
                log.info("held out, towers: points inside %.3f, %s", hits, score)
        self.model.train()

    def advance(self, stage: str, batch: Batch) -> Tensor:
        """Take one optimiser step and return its loss, without waiting for the device."""
        loss = self._loss(stage, batch)
        self.optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimiser.step()
        self.average.update()
        return loss.detach()

    def _loss(self, stage: str, batch: Batch) -> Tensor:
        with mixed(self.device, reduced=self.reduced):
            return self.objective.joint(batch, self.step) if stage in JOINT else self.objective.towers(batch)
