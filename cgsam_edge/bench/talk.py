"""A conversation with a child process in lines of JSON: start it, ask it, and notice when it is gone."""

from __future__ import annotations

import json
import queue
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from typing import IO, Any

from cgsam_edge.errors import BackendError
from cgsam_edge.runtimes import children, lines

_GOODBYE = 5.0


class Talk:
    """A running child; a context manager that ends it.

    Args:
        module: that Python runs; it answers lines of JSON with lines of JSON.
        environment: variables for it.

    Attributes:
        started: on the clock of `time.perf_counter`, just before it was started.
        cpu: seconds of processor time that it had used when it last told.
    """

    def __init__(self, module: str, environment: Mapping[str, str]) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 — closed in close
        self._messages: queue.SimpleQueue[tuple[float, str] | None] = queue.SimpleQueue()
        self.started = time.perf_counter()
        self._process = lines.start(module, self._errors, environment)
        assert self._process.stdout is not None
        threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True).start()
        self.cpu = 0.0

    def ask(self, command: dict[str, Any], step: str = "measuring", runs: int = 1) -> dict[str, Any]:
        """Have it carry out a command, and return its answer.

        Args:
            command: as the child's module takes it.
            step: what that is, for messages.
            runs: how many runs of graphs it may be, for the patience.

        Raises:
            BackendError: it failed, crashed or hangs.
        """
        self.send(command)
        answer = self.next(step, runs)[1]
        self.cpu = answer.get("cpu", self.cpu)
        return answer

    def send(self, value: dict[str, Any]) -> None:
        """Write it a line."""
        assert self._process.stdin is not None
        with suppress(OSError):  # it died; the next answer says how
            self._process.stdin.write(json.dumps(value) + "\n")
            self._process.stdin.flush()

    def next(self, step: str, runs: int = 1) -> tuple[float, dict[str, Any]]:
        """Return when its next message came, and what it says.

        Raises:
            BackendError: as `ask`.
        """
        limit = children.STEP_LIMIT * runs
        try:
            got = self._messages.get(timeout=limit)
        except queue.Empty:
            raise BackendError(f"its process said nothing for {limit:.0f} s while {step}.") from None
        if got is None:
            raise BackendError(f"its process {self._end()} while {step}.")
        message: dict[str, Any] = json.loads(got[1])
        if "failed" in message:
            raise BackendError(message["failed"])
        return got[0], message

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.close()  # upon which it frees the engine and goes
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_GOODBYE)
        self._process.kill()
        self._process.wait()
        self._errors.close()

    def __enter__(self) -> Talk:  # noqa: PYI034 — Self needs Python 3.11
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _end(self) -> str:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_GOODBYE)
        self._errors.seek(0)
        text = self._errors.read()[-2000:].decode(errors="replace").strip()
        last = f" ({text.splitlines()[-1][:200]})" if text else ""
        return f"{children.ending(self._process.poll() or 0)}{last}"

    def _read(self, stream: IO[str]) -> None:
        with stream:
            for line in stream:
                if line.endswith("\n"):  # else it died while it spoke
                    self._messages.put((time.perf_counter(), line))
        self._messages.put(None)
