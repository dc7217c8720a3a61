"""Child processes, in which an engine that crashes or hangs causes an error message and does not end the program.

Parent and child exchange lines of JSON; `child` is the other side. A child must greet within seconds: an interpreter
that prints, a host program that embeds Python, or a missing one is distinguished from a failing engine.
"""

from __future__ import annotations

import json
import os
import queue
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from cgsam_edge.errors import BackendError
from cgsam_edge.runtimes.child import MARK, greeting

STEP_LIMIT = 300.0
"""Seconds that one step of a child, such as opening a graph, may take before the child counts as hung."""

GREETING_LIMIT = 20.0
"""Seconds within which a child must greet; Python itself starts in a few even on small boards."""

PATIENCE = 4
"""How many times `GREETING_LIMIT` the next child may take after one was too slow; a busy machine is not broken."""

_START = """\
import sys
sys.path[:] = [entry for entry in sys.path if entry]
from cgsam_edge.runtimes.child import main
main()
"""
"""What a child runs. Python looks first in the working folder, where a file called json.py may lie, unless it is taken
out; `environment` has it in full where this process looks there too. Python 3.10 knows no PYTHONSAFEPATH."""

NO_TRIAL = "CGSAM_TRIAL"
"""Set to "never", engines are used without a trial in a child process; children inherit this setting."""

_GOODBYE = 5.0

_PYTHON = re.compile(r"(python|pypy)w?[\d.]*t?(_d)?([-.](dbg|intel64))?(\.exe)?", re.IGNORECASE)
"""Names of interpreters."""

_unable = ""
"""Why no child greeted; once seen, this process starts no other."""

_slow = False
"""Whether a child was given up because it had not greeted in time."""


class NoChildError(BackendError):
    """This program cannot start a separate Python process; the message says why."""


class ChildError(BackendError):
    """A child that failed, crashed or hung.

    Attributes:
        end: how it ended, or the problem that it reported.
        step: what it was doing when it crashed or hung; empty if it reported a problem.
        silent: whether it was given up because it said nothing.
    """

    def __init__(self, end: str, step: str = "", *, silent: bool = False) -> None:
        super().__init__(f"its process {end} while {step}." if step else end)
        self.end, self.step, self.silent = end, step, silent


def unavailable() -> str:
    """Return why this program cannot start another Python process; empty if nothing is known to prevent it."""
    if getattr(sys, "frozen", False):
        return "this program is frozen, so it cannot start another Python process"
    if interpreter() is None:
        return f"this program cannot start another Python process (its executable is {sys.executable or 'unknown'})"
    return _unable


def interpreter() -> str | None:
    """Return the Python executable for children, or None.

    Where Python is embedded, `sys.executable` is the host program or empty; starting that would open it a second time,
    so anything that is not called Python is passed over for the one of Python's own folder.
    """
    if sys.executable and _is_python(Path(sys.executable)):
        return sys.executable
    folder, version = Path(sys.exec_prefix), f"python{sys.version_info[0]}.{sys.version_info[1]}"
    beside = [folder / "python.exe"] if os.name == "nt" else [folder / "bin" / version]
    return next((str(path) for path in beside if _is_python(path)), None)


def _is_python(path: Path) -> bool:
    called = _PYTHON.fullmatch(path.name)  # a host program may be called pythonsomething
    return called is not None and path.is_file() and os.access(path, os.X_OK)


def environment() -> dict[str, str]:
    """Return an environment in which a child finds the modules that this process finds, and no others."""
    path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
    return {**os.environ, "PYTHONPATH": path, NO_TRIAL: "never"}


class Child:
    """A running child; a context manager that ends it.

    Args:
        module: whose ``serve(requests, say)`` it runs.
        variables: variables added to `environment`.

    Attributes:
        started: on the clock of `time.perf_counter`, just before it was started.
        greeted: likewise, when its Python ran.
        cpu: seconds of processor time that it had used when it last said so.

    Raises:
        NoChildError: it cannot be started, or does not greet.
    """

    def __init__(self, module: str, variables: Mapping[str, str] | None = None) -> None:
        problem = unavailable()
        if problem:
            raise NoChildError(f"{problem}.")
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 — closed in close
        self._messages: queue.SimpleQueue[tuple[float, str] | None] = queue.SimpleQueue()
        self.started = time.perf_counter()
        self.cpu = 0.0
        self._process = self._start(module, {**environment(), **(variables or {})})
        assert self._process.stdout is not None
        threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True).start()
        self.greeted = self._greeting()

    def ask(self, command: dict[str, Any], step: str = "measuring", steps: int = 1) -> dict[str, Any]:
        """Have it carry out a command, and return its answer.

        Args:
            command: as the child's module takes it.
            step: what that is, for messages.
            steps: time limit as a multiple of `STEP_LIMIT`.

        Raises:
            ChildError: it failed, crashed or hung.
        """
        self.send(command)
        answer = self.next(step, steps)[1]
        self.cpu = answer.get("cpu", self.cpu)
        return answer

    def send(self, value: dict[str, Any]) -> None:
        """Send it a line."""
        assert self._process.stdin is not None
        with suppress(OSError):  # it died; the next message tells how
            self._process.stdin.write(json.dumps(value).encode("ascii") + b"\n")
            self._process.stdin.flush()

    def next(self, step: str, steps: int = 1) -> tuple[float, dict[str, Any]]:
        """Return when its next message came, on the clock of `time.perf_counter`, and the message.

        Raises:
            ChildError: as `ask`.
        """
        when, message = self._take(STEP_LIMIT * steps, step)
        if "failed" in message:
            raise ChildError(message["failed"])
        return when, message

    def messages(self, step: str) -> Iterator[dict[str, Any]]:
        """Yield messages until the last; each may name the step that follows.

        Raises:
            ChildError: as `ask`.
        """
        while True:
            message = self.next(step)[1]
            if "done" in message:
                return
            step = message.get("step", step)
            yield message

    def kill(self) -> None:
        """End it at once, whatever it is doing; `close` remains to be called."""
        self._process.kill()

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.close()  # it then frees the engine and exits
        self._wait()
        self._errors.close()

    def __enter__(self) -> Child:  # noqa: PYI034 — Self needs Python 3.11
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _start(self, module: str, variables: Mapping[str, str]) -> subprocess.Popen[bytes]:
        program = interpreter()
        assert program is not None  # else it is unavailable
        try:
            return subprocess.Popen(  # noqa: S603 — this interpreter, and a module of ours
                [program, "-c", _START, module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                env=dict(variables),
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
        except OSError as error:
            self._errors.close()
            raise _no_child(f"{program} cannot be started ({error.strerror or error})") from error

    def _greeting(self) -> float:
        try:
            when, message = self._take(GREETING_LIMIT * (PATIENCE if _slow else 1), "starting")
        except ChildError as error:
            slow = error.silent
            self._process.kill()
            self.close()
            why = f"{interpreter()} does not answer as Python: its process {error.end}"
            raise (_too_slow(why) if slow else _no_child(why)) from error
        if message != greeting():
            self.close()
            raise _no_child(f"{interpreter()} is another Python: {message} in place of {greeting()}")
        return when

    def _take(self, limit: float, step: str) -> tuple[float, dict[str, Any]]:
        try:
            got = self._messages.get(timeout=limit)
        except queue.Empty:
            raise ChildError(f"said nothing for {limit:.0f} s", step, silent=True) from None
        if got is None:
            raise ChildError(self._end(), step)
        try:
            return got[0], json.loads(got[1])
        except ValueError:
            raise ChildError("wrote a message that cannot be read", step) from None

    def _end(self) -> str:
        code = self._wait()
        self._errors.seek(0)
        text = self._errors.read()[-2000:].decode(errors="replace").strip()
        last = f" ({text.splitlines()[-1][:200]})" if text else ""
        return f"{_ending(code)}{last}"

    def _wait(self) -> int:
        with suppress(subprocess.TimeoutExpired):
            return self._process.wait(_GOODBYE)
        self._process.kill()
        return self._process.wait()

    def _read(self, stream: IO[bytes]) -> None:
        """Queue the lines that are the protocol's and whole; one without an end is cut off by a crash."""
        with stream:
            for line in stream:
                text = line.decode("ascii", errors="replace")
                if text.startswith(MARK) and text.endswith("\n"):
                    self._messages.put((time.perf_counter(), text.removeprefix(MARK)))
        self._messages.put(None)


def _too_slow(why: str) -> NoChildError:
    """Leave one more try with more time, unless this was it."""
    global _slow  # noqa: PLW0603 — as below
    if _slow:
        return _no_child(why)
    _slow = True
    more = GREETING_LIMIT * PATIENCE
    return NoChildError(
        f"{why}. The next engine that is opened is tried in a child again, which may take {more:.0f} s."
    )


def _no_child(why: str) -> NoChildError:
    global _unable  # noqa: PLW0603 — what is seen once holds for the process
    _unable = f"this program cannot start another Python process: {why}"
    return NoChildError(f"{_unable}.")


def _ending(code: int) -> str:
    """Say how a process ended, from its return code."""
    if code >= 0:
        return f"ended with code {code}"
    try:
        return f"died of {signal.Signals(-code).name}"
    except ValueError:
        return f"died of signal {-code}"
