"""Compare the project with its alternatives: ``python -m benchmarks.alternatives --model scenes --output DIR``."""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from benchmarks import models, peaks, prepare, results, work
from benchmarks.contenders import CONTENDERS, Contender
from benchmarks.document import Alternatives, now, save, text, warnings
from benchmarks.runners import Request
from benchmarks.turns import Rounds, Store, Task
from cgsam_edge.bench.sensors import Sensors
from cgsam_edge.bundle import Bundle
from cgsam_edge.errors import BackendError, CgsamError, InputError
from cgsam_edge.files import write_beside
from cgsam_edge.quality.scenes.render import render

CONCEPTS = models.ROOT / "examples" / "concepts.txt"

_SERIES, _SCENE, _SIDE = 5, 22, 1024
"""A scene that no model was trained or calibrated on."""

_TRAINED_ON_SCENES = ("scenes",)
"""Models that were trained on rendered scenes; class mIoU is measured for these alone."""

_CLICKS = 5
"""Least number of clicks in a turn; a click is short even where an image takes seconds."""


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.alternatives", description=__doc__)
    held = ", ".join(models.NAMES)
    parser.add_argument("--model", default="scenes", help=f"{held}, or the file of a checkpoint (default: scenes)")
    parser.add_argument("--output", type=Path, required=True, help="folder for exports, turns and results")
    parser.add_argument("--rounds", type=int, help="number of turns of each contender (default: 5; vit_b: 3)")
    parser.add_argument("--runs", type=int, help="number of runs in a turn, after the first (default: 5; vit_b: 1)")
    parser.add_argument("--threads", type=int, help="CPU threads (default: as the engines choose)")
    text = "calibration pictures for the project's INT8 (default: 32; vit_b: 8)"
    parser.add_argument("--calibration", type=int, help=text)
    text = "pictures of the gate and of the proof of arithmetic; 0 for neither (default: 8; vit_b: 4)"
    parser.add_argument("--gate", type=int, help=text)
    text = "labelled scenes for the class mIoU of a model trained on them; 0 for none (default: 20)"
    parser.add_argument("--scenes", type=int, default=20, help=text)
    parser.add_argument("--contenders", help=f"only these, separated by commas: {', '.join(c.key for c in CONTENDERS)}")
    parser.add_argument("--again", action="store_true", help="discard the turns of an earlier run; exports are kept")
    return parser.parse_args(arguments)


def chosen(told: str | None) -> list[Contender]:
    """Return the contenders with these keys; all if none were named.

    Raises:
        InputError: no contender has that key.
    """
    wanted = [one.key for one in CONTENDERS] if told is None else [key.strip() for key in told.split(",")]
    known = {one.key: one for one in CONTENDERS}
    unknown = [key for key in wanted if key not in known]
    if unknown:
        raise InputError(f"no contender {unknown[0]!r}; expected some of {', '.join(known)}.")
    return [known[key] for key in known if key in wanted]


@dataclass(frozen=True)
class Campaign:
    """One comparison of contenders; `run` measures what is missing.

    Args:
        options: of the command line.
        contenders: the ways to segment.
    """

    options: argparse.Namespace
    contenders: list[Contender]

    def __post_init__(self) -> None:
        """Check the options before anything is exported."""
        models.check(self.options.model)
        for name in ("rounds", "runs", "threads", "calibration"):
            value = getattr(self.options, name)
            if value is not None and value < 1:
                raise InputError(f"--{name} must be 1 or more, got {value}.")
        if self.options.gate is not None and self.options.gate < 0:
            raise InputError(f"--gate must be 0 or more, got {self.options.gate}.")
        prepare.make_folder(self.folder / "masks")

    @property
    def folder(self) -> Path:
        """Folder for all exports and turns of this model."""
        folder: Path = self.options.output / Path(self.options.model).stem
        return folder

    @cached_property
    def source(self) -> prepare.Source:
        """The sources of the exports."""
        seeded = self.options.model in models.SEEDED
        return prepare.Source(
            models.checkpoint(self.options.model, self.folder),
            self._first_concepts() if seeded else CONCEPTS,
            self.folder / "exports",
            self.options.calibration or self._amounts.calibration,
            self._amounts.gate if self.options.gate is None else self.options.gate,
            seeded,
        )

    def _first_concepts(self) -> Path:
        """Write as many concepts as are compared: masks of noise are alike, and the gate computes each."""
        path = self.folder / "concepts.txt"
        lines = [line for line in CONCEPTS.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
        path.write_text("\n".join(lines[: self._amounts.compared]) + "\n", encoding="utf-8")
        return path

    @cached_property
    def bundle(self) -> Bundle:
        """The float32 bundle: all contenders have their text features and sizes from it."""
        return Bundle(prepare.artefact(self.source, "bundle"))

    @property
    def _amounts(self) -> models.Amounts:
        return models.amounts(self.options.model)

    @cached_property
    def picture(self) -> Path:
        """A rendered street scene, as ``.npy``."""
        path = self.folder / "picture.npy"
        array = render(_SERIES, _SCENE, _SIDE, _SIDE).image
        write_beside(path, lambda beside: _save(beside, array))
        return path

    def run(self) -> Alternatives:
        """Export and measure what is missing, and return the comparison."""
        tasks, problems = self._tasks()
        if self.options.again:
            (self.folder / "turns.json").unlink(missing_ok=True)
        store = Store(self.folder / "turns.json", {one.key: self._identity(one) for one in CONTENDERS})
        rates = [peaks.measure(self.options.threads)]
        rounds = Rounds(store, tasks, self.options.rounds or self._amounts.rounds, prepare.tell)
        rounds.run()
        rates.append(peaks.measure(self.options.threads))
        keys = {one.key for one in self.contenders}
        turns = [turn for turn in store.turns if turn.key in keys and turn.number < rounds.rounds]
        found = results.Measured(
            turns, problems | rounds.problems, self.folder / "masks", self._macs(), self._int8(), peaks.greatest(rates)
        )
        return self._document(found)

    def _document(self, found: results.Measured) -> Alternatives:
        sensors, created = Sensors(), self.bundle.manifest.created
        picture = np.load(self.picture)
        return Alternatives(
            when=now(),
            model=(Path(self.options.model).stem, str(created["model"])),
            machine=sensors.machine(),
            threads=self.options.threads,
            versions=prepare.versions(),
            picture=(picture.shape[1], picture.shape[0]),
            compared=self._compared,
            rows=tuple(results.rows(self.contenders, found)),
            turns=tuple(found.turns),
            peaks=found.peaks,
            warnings=tuple(warnings(found.turns, sensors, self.options.threads)),
        )

    def _tasks(self) -> tuple[list[Task], dict[str, str]]:
        """Return the tasks, and by key the reasons why other contenders cannot be measured."""
        tasks, problems = [], {}
        for one in self.contenders:
            try:
                tasks.append(self._task(one))
            except BackendError as error:  # noqa: PERF203 — one that cannot be made becomes a row with the reason
                problems[one.key] = str(error)
                prepare.tell(f"{one.key}: {error}")
        return tasks, problems

    def _task(self, one: Contender) -> Task:
        made = str(prepare.artefact(self.source, one.artefact)) if one.artefact else ""
        request = Request(
            one.runner,
            one.engine,
            str(self.bundle.path),
            str(self.source.checkpoint),
            made,
            str(self.picture),
            self._compared,
            self.options.threads,
            one.arithmetic,
        )
        runs = self.options.runs or self._amounts.runs
        commands = {
            results.ONE: {"do": "masks", "count": 1, "times": runs},
            results.CLICK: {"do": "click", "times": max(runs, _CLICKS)},
        }
        masks, labelled = self.folder / "masks", None
        if self.options.model in _TRAINED_ON_SCENES and self.options.scenes:
            file = str(masks / f"{one.key}.json")
            labelled = {"do": "labelled", "file": file, "series": _SERIES, "scenes": self.options.scenes}
        caches = self.folder / "caches"
        return Task(one.key, self._identity(one), request, commands, caches, masks / f"{one.key}.npy", labelled)

    @property
    def _compared(self) -> int:
        return min(self._amounts.compared, len(self.bundle.vocabulary.names))

    def _identity(self, one: Contender) -> str:
        """Return a hash of what a turn's numbers depend on."""
        made = prepare.key(self.source, one.artefact or "plain")
        picture = hashlib.sha256(self.picture.read_bytes()).hexdigest()
        runs = self.options.runs or self._amounts.runs
        return prepare.identity(
            made,
            picture,
            self.options.threads,
            runs,
            self._compared,
            self.options.scenes,
            one.engine,
            one.arithmetic,
            ours=one.ours,
        )

    def _macs(self) -> dict[str, int]:
        """Return each contender's multiply-adds, as the export counted them."""
        cost = self.bundle.manifest.cost
        fused = sum(cost[graph]["macs"] for graph in self.bundle.manifest.graph_names)
        return {one.key: fused if one.ours else cost["reference"]["macs"] for one in CONTENDERS}

    def _int8(self) -> dict[str, int]:
        """Return how many of these are in INT8; NNCF quantises the same layers as ONNX Runtime's tool."""
        macs = self._macs()
        made = {one.key: 0 for one in self.contenders if one.precision == "int8"}
        ours = [one for one in self.contenders if one.key in made and one.ours]
        if ours:
            bundle = Bundle(prepare.artefact(self.source, ours[0].artefact))
            graphs = bundle.graphs("onnxruntime").values()
            whole = sum(work.int8_macs(bundle.path / graph.path) for graph in graphs)
            made |= {one.key: whole for one in ours}
        return made | {key: macs[key] for key in made if not made[key]}


def _save(path: Path, array: object) -> None:
    with path.open("wb") as file:  # np.save would add a suffix to the name
        np.save(file, np.asarray(array))


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare, write the results, and show them."""
    options = parse(arguments)
    try:
        campaign = Campaign(options, chosen(options.contenders))
        made = campaign.run()
        save(made, campaign.folder)
    except CgsamError as error:
        prepare.tell(f"error: {error}")
        return error.exit_code
    print(text(made))
    prepare.tell(f"wrote {campaign.folder / 'results.md'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
