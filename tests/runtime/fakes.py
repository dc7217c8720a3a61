"""Engines that misbehave, for children to import by name."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cgsam_edge.errors import BackendError
from cgsam_edge.runtimes.onnxruntime import OnnxRuntimeBackend
from cgsam_edge.runtimes.protocol import Device, Session, SessionFacts, SessionOptions

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cgsam_edge.runtimes.protocol import Arrays


class Crashing(OnnxRuntimeBackend):
    """Takes its process along when it opens a graph on its GPU; its CPU works."""

    name = "crashing"

    def devices(self) -> tuple[Device, ...]:
        return (Device("GPU", "gpu"), Device("CPU", "cpu"))

    def open(self, path: Path, options: SessionOptions) -> Session:
        if options.device == "GPU":
            os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
        return super().open(path, options)


class CrashingText(OnnxRuntimeBackend):
    """Takes its process along when it opens the graph that reads names."""

    name = "crashing-text"

    def open(self, path: Path, options: SessionOptions) -> Session:
        if path.name.startswith("text"):
            os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
        return super().open(path, options)


class CrashingDriver(OnnxRuntimeBackend):
    """Takes its process along when it looks for devices."""

    name = "crashing-driver"

    def devices(self) -> tuple[Device, ...]:
        os._exit(66)


class Stale(OnnxRuntimeBackend):
    """Compiles well, and gives NaN or kills its process when it loads what it compiled."""

    name = "stale"
    kills = False

    def open(self, path: Path, options: SessionOptions) -> Session:
        session = super().open(path, options)
        if options.cache is None:
            return session
        kept = options.cache / path.name
        if not kept.exists():
            kept.write_text("compiled")
            return session
        if self.kills:
            os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
        return NanSession(session, cached=True)


class Fatal(Stale):
    """Kills its process when it loads what it compiled."""

    name = "fatal"
    kills = True


class Second(OnnxRuntimeBackend):
    """Is as good as ONNX Runtime."""

    name = "second"


class Hanging(OnnxRuntimeBackend):
    """Never comes back from opening."""

    name = "hanging"

    def open(self, path: Path, options: SessionOptions) -> Session:
        time.sleep(600)
        raise AssertionError


class NotANumber(OnnxRuntimeBackend):
    """Returns NaN."""

    name = "nan"

    def open(self, path: Path, options: SessionOptions) -> Session:
        return NanSession(super().open(path, options))


class NanSession:
    """Runs another session and spoils one value of its first output."""

    def __init__(self, session: Session, *, cached: bool = False) -> None:
        self._session, self._cached = session, cached

    def run(self, inputs: Arrays) -> dict[str, NDArray[np.float32]]:
        out = self._session.run(inputs)
        next(iter(out.values())).flat[0] = np.nan
        return out

    def facts(self) -> SessionFacts:
        return replace(self._session.facts(), cached=self._cached)

    def close(self) -> None:
        self._session.close()


class Missing(OnnxRuntimeBackend):
    """Is not installed."""

    name = "missing"

    def problem(self) -> str:
        return "missing is not installed: pip install 'cgsam-edge[missing]'."


class FailsLater(OnnxRuntimeBackend):
    """Breaks down after some runs."""

    name = "fails-later"

    def open(self, path: Path, options: SessionOptions) -> Session:
        return TiredSession(super().open(path, options))


class TiredSession(NanSession):
    """Runs another session, and fails from the sixth time on."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._runs = 0

    def run(self, inputs: Arrays) -> dict[str, NDArray[np.float32]]:
        self._runs += 1
        if self._runs > 5:
            raise BackendError("the engine has had enough.")
        return self._session.run(inputs)
