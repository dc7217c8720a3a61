"""The worth of each input of the model: a bundle runs with one of them silenced (it is not trained again)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cgsam_edge import Segmenter
from cgsam_edge.runtimes.protocol import Session, SessionFacts

if TYPE_CHECKING:
    from cgsam_edge.runtimes.protocol import Arrays

ABLATIONS: Mapping[str, tuple[str, str]] = {
    "similarity off": ("concept", "similarity"),
    "text off": ("concept", "text_row"),
    "dense prompt off": ("decoder", "dense_prompt"),
}
"""The graph and its input that is set to zero."""


class _Silenced:
    """A session that sees zeros in place of one input."""

    def __init__(self, session: Session, name: str) -> None:
        self._session, self._name = session, name

    def run(self, inputs: Arrays) -> dict[str, NDArray[np.float32]]:
        """Run with zeros."""
        return self._session.run({**inputs, self._name: np.zeros_like(inputs[self._name])})

    def facts(self) -> SessionFacts:
        """Return the answer of the wrapped session."""
        return self._session.facts()

    def close(self) -> None:
        """Close the wrapped session."""
        self._session.close()


@contextmanager
def silenced(segmenter: Segmenter, ablation: str) -> Iterator[None]:
    """Silence one input of an opened bundle within a context."""
    graph, name = ABLATIONS[ablation]
    sessions = segmenter._model.sessions
    before = sessions[graph]
    sessions[graph] = _Silenced(before, name)
    try:
        yield
    finally:
        sessions[graph] = before
