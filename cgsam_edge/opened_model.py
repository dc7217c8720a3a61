"""`OpenedModel`: a bundle with its graphs opened on an engine, shared by a segmenter and the images it encodes."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from cgsam_edge.bundle import Bundle
from cgsam_edge.caller_warning import warn_caller
from cgsam_edge.errors import BackendError, InputError
from cgsam_edge.manifest import IMAGE_GRAPHS, Geometry, Prompting
from cgsam_edge.vocabulary import Vocabulary

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cgsam_edge.runtimes.opening import Opened
    from cgsam_edge.runtimes.placement import Placement

    Float = NDArray[np.float32]

Concepts = Iterable[str] | str | None
"""Names or synonyms, one or several; None means all concepts of the bundle."""

_PROMPT_WARNINGS = {
    "text": "this model was trained on clicks, not on points drawn from text similarity; the paper measured a loss of "
    "8.5 mIoU (78.3 to 69.8 on VOC 1/16). Masks from text alone are therefore worse than they could be.",
    "clicks": "this model was trained for text-only prompts; the paper measured a loss of 8.5 mIoU between kinds of "
    "prompts (VOC 1/16). Masks from clicks and boxes are therefore worse than they could be.",
}


class OpenedModel:
    """The sessions of a bundle, with everything needed to run them. Safe to use from several threads.

    Args:
        bundle: the bundle.
        opened: its graphs, opened on an engine.

    Attributes:
        bundle: as given.
        sessions: sessions by graph.
    """

    def __init__(self, bundle: Bundle, opened: Opened) -> None:
        self.bundle = bundle
        self.sessions = opened.sessions
        self._opened = opened
        graphs = bundle.graphs(opened.candidate.target)
        self._inputs = {name: frozenset(tensor.name for tensor in graph.inputs) for name, graph in graphs.items()}
        self._closed = False
        self._warned: set[str] = set()
        self._lock = threading.Lock()

    @property
    def backend(self) -> str:
        """Name of the engine in use."""
        return self._opened.candidate.backend

    @property
    def geometry(self) -> Geometry:
        """Sizes of the model's tensors."""
        return self.bundle.manifest.geometry

    @property
    def prompting(self) -> Prompting:
        """How similarity and clicks become the decoder's prompt."""
        return self.bundle.manifest.prompting

    @property
    def vocabulary(self) -> Vocabulary:
        """The concepts of the bundle."""
        return self.bundle.vocabulary

    @cached_property
    def placement(self) -> Placement:
        """What runs where.

        Raises:
            BackendError: the model is closed.
        """
        return self._opened.placement(self.bundle)

    def inputs(self, graph: str) -> frozenset[str]:
        """Return the names of a graph's inputs."""
        return self._inputs[graph]

    def run(self, graph: str, values: dict[str, Float]) -> dict[str, Float]:
        """Run a graph; values that it does not take are ignored.

        Raises:
            BackendError: the model is closed, or the engine failed.
        """
        self.check_open()
        return self.sessions[graph].run({name: values[name] for name in self._inputs[graph]})

    def features(self, pixels: Float, clip: Mapping[str, Float] | None = None) -> dict[str, Float]:
        """Compute what all concepts of an image share: the outputs of "clip", where the bundle has it, and "image".

        Args:
            pixels: (1, 3, S, S), as the contract says.
            clip: what `clip` returned for these pixels, if it is known.

        Raises:
            BackendError: the model is closed, or the engine failed.
        """
        made = {"pixels": pixels, **(self.clip(pixels) if clip is None else clip)}
        if IMAGE_GRAPHS[0] in self.sessions:
            made |= self.run(IMAGE_GRAPHS[1], made)
        del made["pixels"]
        return made

    def clip(self, pixels: Float) -> dict[str, Float]:
        """Compute CLIP's features of an image: the outputs of "clip", or, in bundles without that graph, of "image".

        Args:
            pixels: (1, 3, S, S), as the contract says.

        Raises:
            BackendError: the model is closed, or the engine failed.
        """
        return self.run(next(graph for graph in IMAGE_GRAPHS if graph in self.sessions), {"pixels": pixels})

    def check_open(self) -> None:
        """Raise `BackendError` if the model is closed."""
        if self._closed:
            raise BackendError("the segmenter is closed.")

    def indices(self, concepts: Concepts) -> list[int]:
        """Return indices into the vocabulary in the requested order, each once.

        Raises:
            InputError: ``concepts`` is neither names nor None.
            UnknownConceptError: the bundle does not hold a concept.
        """
        if concepts is None:
            return list(range(len(self.vocabulary.names)))
        return list(dict.fromkeys(self.vocabulary.index(name) for name in _names(concepts)))

    def warn_of_prompts(self, kind: str) -> None:
        """Warn once about a kind of prompt, "text" or "clicks", that training did not use."""
        if kind in self.prompting.trained_for:
            return
        with self._lock:
            first = kind not in self._warned
            self._warned.add(kind)
        if first:
            warn_caller(_PROMPT_WARNINGS[kind])

    def close(self) -> None:
        """Free the engine."""
        self._closed = True
        for session in self.sessions.values():
            session.close()


def _names(concepts: object) -> Iterable[str]:
    if isinstance(concepts, str):
        return (concepts,)
    if isinstance(concepts, (bytes, bytearray)) or not isinstance(concepts, Iterable):
        raise InputError(
            f"concepts must be a name, an iterable of names, or None for all, got {concepts!r:.60} "
            f"({type(concepts).__name__})."
        )
    return (_name(one) for one in concepts)


def _name(one: object) -> str:
    if not isinstance(one, str):
        raise InputError(f"a concept's name must be a string, got {one!r:.60} ({type(one).__name__}).")
    return one
