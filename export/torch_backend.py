"""The fused graphs in PyTorch behind the runtime's protocol, with which targets are compared."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from cgsam_edge.bundle import file_spec
from cgsam_edge.contract import expected_shapes
from cgsam_edge.errors import BackendError
from cgsam_edge.export.graphs.build import Graph, Graphs
from cgsam_edge.manifest import FILE_NAME, VOCABULARY_FILE, GraphSpec, TensorSpec
from cgsam_edge.runtimes.protocol import Device, SessionFacts
from cgsam_edge.segmenter import Segmenter

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cgsam_edge.manifest import Manifest
    from cgsam_edge.runtimes.protocol import Arrays, SessionOptions
    from cgsam_edge.vocabulary import Vocabulary

NAME = "torch"


class TorchSession:
    """One fused graph; see `cgsam_edge.runtimes.protocol.Session`.

    Args:
        graph: the graph to run, in float32.
    """

    def __init__(self, graph: Graph) -> None:
        self._graph, self._turn = graph, threading.Lock()

    def run(self, inputs: Arrays) -> dict[str, NDArray[np.float32]]:
        """Compute all outputs; see `Session.run`."""
        if inputs.keys() != self._graph.inputs.keys():
            raise BackendError(f"expected the inputs {', '.join(self._graph.inputs)}, got {', '.join(inputs)}.")
        with self._turn:
            made = self._graph.run({name: torch.from_numpy(np.ascontiguousarray(a)) for name, a in inputs.items()})
        return {name: tensor.float().numpy() for name, tensor in made.items()}

    def facts(self) -> SessionFacts:
        """Return where it runs; see `Session.facts`."""
        return SessionFacts({"torch": 1}, "float32", torch.get_num_threads())

    def close(self) -> None:
        """Do nothing: the graphs belong to the export."""


class TorchBackend:
    """PyTorch as a backend, which is not registered. See `cgsam_edge.runtimes.protocol.Backend`.

    Args:
        graphs: graphs of the exported model.
    """

    name = NAME
    targets = (NAME,)
    extras = ("export",)

    def __init__(self, graphs: Graphs) -> None:
        self._graphs = {graph.name: graph for graph in graphs}

    def version(self) -> str:
        """Return PyTorch's version."""
        return str(torch.__version__)

    def problem(self) -> str:
        """Return an empty text: the export needs PyTorch anyway."""
        return ""

    def devices(self) -> tuple[Device, ...]:
        """Return the CPU."""
        return (Device("CPU", "cpu", "PyTorch"),)

    def open(self, path: Path, options: SessionOptions) -> TorchSession:
        """Open the graph that the file is named after."""
        del options
        return TorchSession(self._graphs[path.name])


def write_torch_bundle(folder: Path, manifest: Manifest, vocabulary: Vocabulary, graphs: Graphs) -> Path:
    """Write a bundle that only `TorchBackend` opens: manifest and vocabulary, and an empty file for each graph.

    Args:
        folder: where to write; created if necessary.
        manifest: manifest of the bundle being exported, without its files and targets.
        vocabulary: its concepts.
        graphs: its graphs.
    """
    (folder / NAME).mkdir(parents=True, exist_ok=True)
    vocabulary.save(folder / VOCABULARY_FILE)
    shapes, specs = expected_shapes(manifest, vocabulary), {}
    for graph in graphs:
        (folder / NAME / graph.name).touch()
        inputs = tuple(TensorSpec(name, shape) for name, shape in graph.inputs.items())
        outputs = tuple(TensorSpec(name, shapes.get(name, (1,))) for name in graph.outputs)
        specs[graph.name] = GraphSpec(f"{NAME}/{graph.name}", "fp32", inputs, outputs)
    files = {
        path.relative_to(folder).as_posix(): file_spec(path)
        for path in (folder / VOCABULARY_FILE, *sorted((folder / NAME).iterdir()))
    }
    made = replace(manifest, files=files, targets={NAME: specs})
    (folder / FILE_NAME).write_text(made.to_json(), encoding="utf-8")
    return folder


def open_in_torch(folder: Path, manifest: Manifest, vocabulary: Vocabulary, graphs: Graphs) -> Segmenter:
    """Return a segmenter that computes graphs in PyTorch; the arguments are those of `write_torch_bundle`."""
    return Segmenter(write_torch_bundle(folder, manifest, vocabulary, graphs), backend=TorchBackend(graphs))
