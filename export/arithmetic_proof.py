"""Proving which graphs of a target may compute in less than float32: on an engine that has it, else emulated."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cgsam_edge.arithmetic import FLOAT32, ArithmeticProof, summary
from cgsam_edge.errors import BackendError
from cgsam_edge.export.arithmetic_search import NO_TIME, Budget, Outcome, Search
from cgsam_edge.export.emulation import EmulatedBackend
from cgsam_edge.export.engine_child import EngineChild
from cgsam_edge.export.graphs.build import Graphs
from cgsam_edge.export.targets import COREML
from cgsam_edge.manifest import GRAPH_NAMES, GraphSpec, Manifest
from cgsam_edge.quality.further import ArithmeticQuality
from cgsam_edge.quality.gate import Gate
from cgsam_edge.quality.judge import TargetQuality
from cgsam_edge.quality.verdicts import gate_summary, line
from cgsam_edge.runtimes.children import NoChildError
from cgsam_edge.runtimes.openvino import OpenVinoBackend
from cgsam_edge.runtimes.protocol import Device, Session, SessionOptions
from cgsam_edge.segmenter import Segmenter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

LEAST_PICTURES = 4
"""Pictures below which nothing is proven; there may be fewer than the gate's where time is short."""

SLOWER = 4
"""How many times the gate's seconds for all pictures, in float32, one run of a graph may take before it has hung."""

FAILED = "the target does not pass the gate in float32, so nothing less was tried"

_NAMES = {"bfloat16": "BF16", "float16": "FP16"}
"""What OpenVINO calls them among the capabilities of a device."""


class InArithmetic(OpenVinoBackend):
    """OpenVINO with a separate arithmetic for each graph of one target.

    Args:
        target: the only folder of graphs that it opens.
        kinds: by file.
        child: where the graphs run; None means in this process.
    """

    def __init__(self, target: str, kinds: Mapping[Path, str], child: EngineChild | None = None) -> None:
        self.targets = (target,)  # type: ignore[assignment]
        self._kinds, self._child = kinds, child

    def open(self, path: Path, options: SessionOptions) -> Session:
        """Open a graph; see `Backend.open`."""
        chosen = replace(options, precision="default", proven=(self._kinds[path],))
        return self._child.open(path, chosen) if self._child else super().open(path, chosen)


@dataclass
class Errors:
    """What kept an engine from computing.

    Attributes:
        folder: the bundle being written, whose place on the exporting machine no note gives away.
        notes: one for each error.
        judged: how many combinations were computed and did not pass.
    """

    folder: Path
    notes: list[str] = field(default_factory=list)
    judged: int = 0

    def note(self, what: str, error: Exception) -> str:
        """Keep an error, and return its first line."""
        text = (str(error) or type(error).__name__).splitlines()[0].replace(f"{self.folder}{os.sep}", "")
        self.notes = list(dict.fromkeys([*self.notes, f"{what} could not be computed: {text}"]))
        return text

    def beside(self, note: str) -> str:
        """Return the note of a search with the errors; where nothing moved any mask too far, it must not say so."""
        kept = [note] if note and (self.judged or note == NO_TIME or not self.notes) else []
        return "; ".join([*self.notes, *kept])


@dataclass
class Prover:
    """Proves the arithmetic of an export's targets, one after the other.

    Attributes:
        gate: with PyTorch's masks.
        graphs: of the model, for what is emulated.
        reference: a segmenter of these graphs.
        folder: the bundle being written.
        kinds: of arithmetic to try.
        budget: of time, for all targets.
        say: takes lines of progress.
        likely: the combination that passed on the target before, by kind.
    """

    gate: Gate
    graphs: Graphs
    reference: Segmenter
    folder: Path
    kinds: Sequence[str]
    budget: Budget
    say: Callable[[str], None]
    likely: dict[str, frozenset[str]] = field(default_factory=dict)

    def prove(self, judged: TargetQuality, manifest: Manifest) -> dict[str, ArithmeticProof]:
        """Return what is proven of a target, by kind.

        Args:
            judged: what the gate found of it in float32; what does not pass there is tried in nothing less, and the
                proof keeps devices from computing it in less.
            manifest: with the target's graphs.
        """
        specs = manifest.targets[judged.target]
        graphs = [name for name in GRAPH_NAMES if name in specs]
        if not judged.passed:
            refused = ArithmeticProof(dict.fromkeys(graphs, FLOAT32), "", emulated=False, pictures=0, note=FAILED)
            return dict.fromkeys(self.kinds, refused)
        if judged.target == COREML:
            return dict(self._in_package(judged, specs, graphs))
        return {kind: self._proof(kind, judged, manifest, graphs) for kind in self.kinds}

    def _in_package(
        self, judged: TargetQuality, specs: Mapping[str, GraphSpec], graphs: Sequence[str]
    ) -> Iterator[tuple[str, ArithmeticProof]]:
        """Core ML's packages say themselves what they compute in, and the gate judged that."""
        made = {graph: FLOAT32 if specs[graph].precision == "fp32" else "float16" for graph in graphs}
        if "float16" in made.values() and "float16" in self.kinds:
            pictures = len(self.gate.pictures)
            yield (
                "float16",
                ArithmeticProof(
                    made, "the MIL evaluator", emulated=True, pictures=pictures, found=gate_summary(judged)
                ),
            )

    def _proof(self, kind: str, judged: TargetQuality, manifest: Manifest, graphs: Sequence[str]) -> ArithmeticProof:
        target, here = judged.target, has(kind)
        by = f"openvino {OpenVinoBackend().version()} on CPU" if here else "PyTorch"
        integer = [g for g in graphs if manifest.targets[target][g].precision not in ("fp32", "fp16")]
        pictures = self._pictures()
        if integer and not here:
            outcome = Outcome(frozenset(), None, f"no {kind} here to compute with, and INT8 is not emulated", 0)
        elif not pictures:
            outcome = Outcome(frozenset(), None, NO_TIME, 0)
        else:
            outcome = self._searched(
                kind, judged, manifest, graphs, pictures if pictures < len(self.gate.pictures) else None
            )
        made = {graph: kind if graph in outcome.graphs else FLOAT32 for graph in graphs}
        found = found_summary(outcome.found) if outcome.found else {}
        return ArithmeticProof(made, by, not here, pictures, found, outcome.note)

    def _pictures(self) -> int:
        """Return how many of the gate's pictures there is time for; 0 for none, or too few."""
        all_of_them = len(self.gate.pictures)
        fitting = int(all_of_them * min(1.0, self.budget.left / max(self.gate.seconds, 1e-3)))
        return fitting if fitting >= min(LEAST_PICTURES, all_of_them) else 0

    def _searched(
        self, kind: str, judged: TargetQuality, manifest: Manifest, graphs: Sequence[str], pictures: int | None
    ) -> Outcome:
        exact, errors = self.exact(judged, pictures), Errors(self.folder)

        def attempt(combination: frozenset[str]) -> TargetQuality:
            kinds = {graph: kind if graph in combination else FLOAT32 for graph in graphs}
            name = f"{judged.target}, {kind} in {' and '.join(g for g in graphs if g in combination)}"
            try:
                with self._opened(judged.target, kinds, manifest) as segmenter:
                    pairs = self.gate.measure(segmenter, pictures)
            except (BackendError, MemoryError) as error:
                self.say(f"{name}: not passed: {errors.note(f'{judged.target} in {kind}', error)}")
                return TargetQuality(name, (), judged.limits)
            found = ArithmeticQuality(name, pairs, judged.limits, exact)
            errors.judged += not found.passed
            self.say(line(found))
            return found

        costs = {graph: manifest.macs(graph) or 1 for graph in graphs}
        outcome = Search(attempt, costs, self.budget).run(self.likely.get(kind))
        if not errors.notes:  # what one target's files do to an engine says nothing of another's
            self.likely[kind] = outcome.graphs
        return replace(outcome, note=errors.beside(outcome.note))

    def exact(self, judged: TargetQuality, pictures: int | None) -> TargetQuality:
        """Return what was found of the target in float32 on the pictures that are tried."""
        used = {picture.path for picture in self.gate.pictures[:pictures]}
        return replace(judged, pairs=tuple(pair for pair in judged.pairs if pair.image in used))

    @contextmanager
    def _opened(self, target: str, kinds: Mapping[str, str], manifest: Manifest) -> Iterator[Segmenter]:
        kind = next(one for one in kinds.values() if one != FLOAT32)
        with ExitStack() as stack:
            if not has(kind):
                backend = EmulatedBackend(self.graphs, kinds)
                yield stack.enter_context(Segmenter(self.reference.bundle.path, backend=backend))
                return
            files = {self.folder / manifest.targets[target][graph].path: one for graph, one in kinds.items()}
            engine = InArithmetic(target, files, self._child(stack))
            opened = stack.enter_context(Segmenter(self.folder, backend=engine, device="cpu"))
            computed = {one.graph: one.precision for one in opened.placement.graphs}
            if computed != kinds:
                raise BackendError(f"the engine computes in {summary(computed)}, asked for {summary(kinds)}.")
            yield opened

    def _child(self, stack: ExitStack) -> EngineChild | None:
        """Start a child for an engine; where none can be started, a crash ends the export."""
        try:
            return stack.enter_context(EngineChild(patience=SLOWER * self.gate.seconds))
        except NoChildError as error:
            self.say(f"warning: {error} The engine computes in the export's own process.")
            return None


def has(kind: str) -> bool:
    """Return whether OpenVINO computes in a kind of arithmetic on this machine's CPU."""
    backend = OpenVinoBackend()
    return not backend.problem() and _NAMES[kind] in backend.capabilities(Device("CPU", "cpu"))


def found_summary(found: TargetQuality) -> dict[str, Any]:
    """Return what the manifest holds of a combination that passed."""
    return gate_summary(found) | (found.summary() if isinstance(found, ArithmeticQuality) else {})
