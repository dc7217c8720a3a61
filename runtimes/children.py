"""Trying an engine in a child process, so that one that crashes or hangs costs a line and not the program."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from cgsam_edge._schema import decode
from cgsam_edge.runtimes import lines
from cgsam_edge.runtimes.placement import Attempt, Candidate
from cgsam_edge.runtimes.probe import Request
from cgsam_edge.runtimes.protocol import Device

if TYPE_CHECKING:
    from cgsam_edge.runtimes.protocol import Backend

STEP_LIMIT = 300.0
"""Seconds that opening or running one graph may take before the child counts as hung."""

_GOODBYE = 5.0

_ROUNDS = 8
"""Children that one engine may crash before it is given up."""


@dataclass
class Told:
    """What children said of one engine.

    Attributes:
        devices: that the engine lists.
        attempts: in the order made.
        problem: why the engine itself could not be asked; empty where it could.
    """

    devices: tuple[Device, ...] = ()
    attempts: list[Attempt] = field(default_factory=list)
    problem: str = ""


def possible() -> bool:
    """Whether this program can start a Python of its own: a frozen one would start itself."""
    return bool(sys.executable) and not getattr(sys, "frozen", False)


def path_of(backend: Backend) -> str:
    """Return how a child finds a backend's class."""
    kind = type(backend)
    return f"{kind.__module__}:{kind.__qualname__}"


def ask(backend: Backend, request: Request) -> Told:
    """Have children list an engine's devices and try them, starting a new one after each crash."""
    told = Told()
    for _ in range(_ROUNDS):
        crashed = _one(backend, request, told)
        if crashed is None:
            break
        request = replace(request, skip=(*request.skip, *(a.candidate.device for a in told.attempts)))
    return told


def _one(backend: Backend, request: Request, told: Told) -> str | None:
    """Run one child; return the device that it died on, or None where it ended by itself."""
    trying, step, done = "", "listing devices", False
    child = _Child(request)
    try:
        for message in child.messages():
            step = message.get("step", step)
            trying = message.get("trying", trying)
            done = done or "done" in message
            if "devices" in message:
                told.devices = tuple(decode(Device, d, "probe") for d in message["devices"])
            if "failed" in message:
                told.problem = message["failed"]
            if "attempt" in message:
                told.attempts.append(decode(Attempt, message["attempt"], "probe"))
                trying = ""
    finally:
        end = child.stop()
    if done:
        return None
    reason = f"{end} while {step}"
    if not trying:
        told.problem = f"the engine's process {reason}"
        return None
    told.attempts.append(Attempt(Candidate(backend.name, request.target, trying), f"crashed: its process {reason}"))
    return trying


class _Child:
    """A running probe.

    Args:
        request: what it is asked.
    """

    def __init__(self, request: Request) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 — closed in stop
        self._hung, self._ended = False, False
        self._process = lines.start("cgsam_edge.runtimes.probe", self._errors, environment())
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True).start()
        with suppress(OSError):  # it died at once; its exit says how
            self._process.stdin.write(json.dumps(asdict(request)))
            self._process.stdin.close()

    def messages(self) -> Iterator[dict[str, Any]]:
        """Yield what it says until it ends or hangs."""
        while True:
            try:
                line = self._lines.get(timeout=STEP_LIMIT)
            except queue.Empty:
                self._hung = True
                return
            if line is None:
                self._ended = True
                return
            if line.endswith("\n"):  # else it died while it spoke
                yield json.loads(line)

    def stop(self) -> str:
        """End it if it runs, and say how it ended."""
        if self._ended:  # it closed its end, so it is about to be gone
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_GOODBYE)
        self._process.kill()
        code = self._process.wait()
        self._errors.seek(0)
        text = self._errors.read()[-2000:].decode(errors="replace").strip()
        self._errors.close()
        if self._hung:
            return f"said nothing for {STEP_LIMIT:.0f} s"
        last = f" ({text.splitlines()[-1][:200]})" if text else ""
        return f"{ending(code)}{last}"

    def _read(self, stream: IO[str]) -> None:
        with stream:
            for line in stream:
                self._lines.put(line)
        self._lines.put(None)


def environment() -> dict[str, str]:
    """Return an environment in which the child finds the modules that this process finds, and no others."""
    path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
    return {**os.environ, "PYTHONPATH": path, "PYTHONSAFEPATH": "1"}


def ending(code: int) -> str:
    """Say how a process ended, from its return code."""
    if code >= 0:
        return f"ended with code {code}"
    try:
        return f"died of {signal.Signals(-code).name}"
    except ValueError:
        return f"died of signal {-code}"
