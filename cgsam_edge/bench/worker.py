"""The parent's side of a child process that measures: start it, ask it, and notice when it is gone."""

from __future__ import annotations

import json
import queue
import subprocess
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from cgsam_edge.bench.child import Request
from cgsam_edge.bench.report import Cold
from cgsam_edge.errors import BackendError
from cgsam_edge.runtimes import cache, children, lines

_GOODBYE = 5.0


class Worker:
    """A child that has opened a bundle and segmented once; a context manager that ends it.

    Args:
        request: what it opens.
        cache_folder: in place of the user's, for what the engine compiles.
        cached: whether an earlier child had filled that folder.

    Attributes:
        cold: what its start took.
        facts: "arithmetic" and "threads", as the engine tells.
        cpu: seconds of processor time that it had used when it last answered.

    Raises:
        BackendError: the engine cannot open or run the bundle, crashed or hangs.
    """

    def __init__(self, request: Request, cache_folder: Path, *, cached: bool) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 — closed in close
        self._messages: queue.SimpleQueue[tuple[float, str] | None] = queue.SimpleQueue()
        self._started = time.perf_counter()
        self._process = lines.start(
            "cgsam_edge.bench.child", self._errors, {**children.environment(), cache.ENVIRONMENT: str(cache_folder)}
        )
        assert self._process.stdout is not None
        threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True).start()
        self.cpu = 0.0
        try:
            self.cold, self.facts = self._start(request, cached=cached)
        except BaseException:
            self.close()
            raise

    def ask(self, command: dict[str, Any], step: str = "measuring", runs: int = 1) -> dict[str, Any]:
        """Have it carry out a command, and return its answer.

        Args:
            command: see `Bencher.obey`.
            step: what that is, for messages.
            runs: how many runs of graphs it may be, for the patience.

        Raises:
            BackendError: it failed, crashed or hangs.
        """
        self._send(command)
        answer = self._next(step, runs)[1]
        self.cpu = answer.get("cpu", self.cpu)
        return answer

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

    def __enter__(self) -> Worker:  # noqa: PYI034 — Self needs Python 3.11
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _start(self, request: Request, *, cached: bool) -> tuple[Cold, dict[str, Any]]:
        self._send(asdict(request))
        up, _ = self._next("starting")
        imported, _ = self._next("importing")
        loaded, _ = self._next("reading the bundle")
        opened, _ = self._next("opening the graphs")
        done, first = self._next("segmenting for the first time", 3)
        seconds = (up - self._started, imported - up, opened - loaded, done - opened)
        return Cold(cached, *seconds, first["first"], first["peak_memory"]), first

    def _send(self, value: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        with suppress(OSError):  # it died; the next answer says how
            self._process.stdin.write(json.dumps(value) + "\n")
            self._process.stdin.flush()

    def _next(self, step: str, runs: int = 1) -> tuple[float, dict[str, Any]]:
        """Return the next message and when it came."""
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
