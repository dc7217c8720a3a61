"""What an engine is to the rest: open a graph with options, named arrays in, named arrays out, close."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Arrays = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True)
class SessionOptions:
    """How to open a graph.

    Attributes:
        threads: CPU threads that one run may use; None leaves it to the engine, which takes all cores.
    """

    threads: int | None = None


class Session(Protocol):
    """An opened graph. Safe to run from several threads; runs of one session follow each other."""

    def run(self, inputs: Arrays) -> dict[str, NDArray[np.float32]]:
        """Compute all outputs.

        Args:
            inputs: float32 arrays by name, exactly the graph's inputs.

        Raises:
            BackendError: a name or shape is wrong, the session is closed, or the engine failed.
        """

    def close(self) -> None:
        """Free the engine's memory; closing twice does nothing."""


class Backend(Protocol):
    """An engine."""

    @property
    def name(self) -> str:
        """What a caller says to force it."""

    @property
    def target(self) -> str:
        """The bundle's folder of graphs that it opens."""

    @property
    def extras(self) -> tuple[str, ...]:
        """What to install it with, the first being the usual one."""

    def installed(self) -> bool:
        """Whether the engine could be imported; does not import it."""

    def problem(self) -> str:
        """Say why the engine cannot be used at all, and what to do; empty where it can. Does not import it."""

    def open(self, path: Path, options: SessionOptions) -> Session:
        """Open a graph.

        Raises:
            BackendError: the engine is not installed or cannot open the graph.
        """
