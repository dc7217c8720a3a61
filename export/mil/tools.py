"""coremltools, imported on first use and kept quiet."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from typing import Any

from cgsam_edge.errors import BackendError
from cgsam_edge.runtimes import telemetry


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Suppress progress bars, and the remarks about a missing Mac and an untested PyTorch."""
    logger = logging.getLogger("coremltools")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def coremltools() -> Any:
    """Return the module.

    Raises:
        BackendError: it is not installed.
    """
    try:
        with quiet():
            return telemetry.load("coremltools")
    except ImportError as error:
        raise BackendError(f"Core ML needs coremltools ({error}): pip install 'cgsam-edge[coreml]'.") from error
