"""What the child process does: open a bundle on one engine, and time it."""

from __future__ import annotations

import importlib
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cgsam_edge.arithmetic import summary
from cgsam_edge.bench import matmul, peak
from cgsam_edge.bench.child import BenchRequest
from cgsam_edge.bench.measurement import ALL, CLICK, ONE
from cgsam_edge.bench.memory import peak_memory
from cgsam_edge.bench.timed import TimedBackend
from cgsam_edge.bundle import Bundle
from cgsam_edge.encoded import Encoded
from cgsam_edge.examples import EXAMPLES_FILE, Examples, replay
from cgsam_edge.image import load_image
from cgsam_edge.runtimes import registry
from cgsam_edge.runtimes.protocol import SessionOptions
from cgsam_edge.segmenter import Segmenter

if TYPE_CHECKING:
    from cgsam_edge.runtimes.protocol import Backend


class Bencher:
    """Carries out the parent's commands, one after the other.

    Args:
        request: what to open.

    Raises:
        BundleError: the bundle cannot be used.
    """

    def __init__(self, request: BenchRequest) -> None:
        warnings.simplefilter("ignore")  # of prompts that the model was not trained for; times are the same
        self._request = request
        self._picture = load_image(np.load(request.picture, allow_pickle=False))
        bundle = Bundle(request.bundle)
        graphs = {bundle.path / spec.path: name for name, spec in bundle.graphs(request.target).items()}
        module, _, kind = request.backend.partition(":")
        self._engine: Backend = getattr(importlib.import_module(module), kind)()
        self._backend = TimedBackend(self._engine, graphs)
        registry.BACKENDS[self._backend.name] = self._backend
        self._segmenter: Segmenter | None = None
        self._encoded: Encoded | None = None
        self._work: dict[str, Callable[[], object]] = {
            ONE: lambda: self._segment(request.concepts[:1]),
            ALL: lambda: self._segment(request.concepts),
            CLICK: self._click,
        }

    @property
    def segmenter(self) -> Segmenter:
        """What was opened."""
        assert self._segmenter is not None
        return self._segmenter

    def open(self) -> None:
        """Import the engine and open all graphs, as a user's program would.

        Raises:
            BackendError: the engine cannot open them.
        """
        asked = self._request
        self._segmenter = Segmenter(
            asked.bundle,
            backend=self._backend.name,
            device=asked.device,
            threads=asked.threads,
            precision=asked.precision,
        )
        held = self._backend.sessions  # in the order in which they were opened, the largest first
        self._backend.sessions = {graph: held[graph] for graph in self._segmenter.bundle.manifest.graph_names}

    def first(self) -> dict[str, Any]:
        """Segment once, and return the times and where it ran."""
        graphs = self._timed(self._work[ONE])[1]
        facts = self._backend.sessions["image"].facts()
        return {
            "first": {name: sum(times) for name, times in graphs.items()},
            "peak_memory": peak_memory(),
            "arithmetic": summary(self._computed()),
            "threads": facts.threads,
        }

    def obey(self, command: dict[str, Any]) -> dict[str, Any]:
        """Carry out one command."""
        what = command["do"]
        if what == "masks":
            return self._masks(Path(command["file"]))
        if what == "peak":
            return self._peak()
        if what == CLICK and self._encoded is None:
            self._encoded = self.segmenter.encode(self._picture)
            self._click()  # after which the image embedding of the concept is there, as for every click but the first
        return self._repeat(self._work[what], command["times"])

    def close(self) -> None:
        """Free the engine."""
        self.segmenter.close()

    def _repeat(self, work: Callable[[], object], times: int) -> dict[str, Any]:
        runs = [self._timed(work) for _ in range(times)]
        return {
            "milliseconds": [total for total, _ in runs],
            "graphs": {name: [sum(graphs[name]) for _, graphs in runs] for name in self._backend.sessions},
            "cpu": time.process_time(),
        }

    def _timed(self, work: Callable[[], object]) -> tuple[float, dict[str, list[float]]]:
        for session in self._backend.sessions.values():
            session.milliseconds.clear()
        start = time.perf_counter()
        work()
        total = 1000 * (time.perf_counter() - start)
        return total, {name: list(session.milliseconds) for name, session in self._backend.sessions.items()}

    def _segment(self, concepts: tuple[str, ...]) -> list[Any]:
        """From a picture in memory to masks of its size."""
        found = self.segmenter.segment(self._picture, concepts, skip_absent=False)  # what is skipped takes no time
        return [one.mask for one in found.values()]

    def _click(self) -> Any:
        assert self._encoded is not None
        centre = np.asarray([self._picture.size], np.float32) / 2
        return self._encoded.predict(self._request.concepts[0], points=centre).mask

    def _masks(self, file: Path) -> dict[str, Any]:
        """Save the masks of all concepts, bool (n, m, m) at the decoder's size, and compare the example's."""
        found = self.segmenter.segment(self._picture, self._request.concepts, skip_absent=False)
        np.save(file, np.stack([one.logits > 0 for one in found.values()]))
        return {"pytorch": self._agreement()}

    def _computed(self) -> dict[str, str]:
        return {graph: session.facts().precision for graph, session in self._backend.sessions.items()}

    def _peak(self) -> dict[str, float | None]:
        asked = self._request
        used = tuple(self._computed().values())  # the rate of what most of the work is done in
        options = SessionOptions(asked.threads, asked.device, precision=asked.precision, proven=used)
        models = {"rate": matmul.float_model(), "int8": matmul.int8_model()}
        return {name: peak.rate(self._engine, model, options) for name, model in models.items()}

    def _agreement(self) -> float | None:
        """Return the mask IoU of the bundle's example with PyTorch's mask."""
        bundle = self.segmenter.bundle
        if EXAMPLES_FILE not in bundle.manifest.files:
            return None
        specs = bundle.graphs(self._request.target)
        names = {graph: [tensor.name for tensor in specs[graph].inputs] for graph in self._backend.sessions}
        examples = Examples.load(bundle.path / EXAMPLES_FILE)
        sessions = self._backend.sessions
        size = bundle.manifest.geometry.image_size
        return replay(examples, names, size, lambda graph, fed: sessions[graph].run(fed))["decoder"].mask_iou
