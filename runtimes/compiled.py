"""Graphs that engines compiled, kept for later processes together with the proof of a trial.

The key of a folder of compiled graphs contains everything that they depend on: the bundle, the engine and its version,
the device, every option of the session, the processor and this package. An engine's own cache does not distinguish all
of these: OpenVINO's (2026.4) opens what it compiled for float32 with a hint of bfloat16, and crashes on some
processors.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from cgsam_edge._version import __version__
from cgsam_edge.runtimes import cache
from cgsam_edge.runtimes.placement import Candidate
from cgsam_edge.runtimes.protocol import SessionOptions

_PROOF = "tried.json"
_SCRATCH = ".scratch-"
_KEPT_BUNDLES = 8
"""Number of bundles whose compiled graphs are kept, most recently used first; each may be as large as the bundle."""

_KEPT_SETTINGS = 8
"""Likewise for each bundle: combinations of engine, device and options."""

_ABANDONED = 86_400.0
"""Seconds after which scratch that a killed process left is removed."""

_proofs: dict[str, Proof] = {}
"""Proofs of this process by name, for machines without a writable cache."""


@dataclass(frozen=True)
class Proof:
    """The proof that a use was tried and agreed with PyTorch.

    Attributes:
        loads: whether the engine may load its compiled graphs; False if it crashed or was wrong when it did.
    """

    loads: bool = True


@dataclass(frozen=True)
class Use:
    """One way to use one bundle on this machine.

    Attributes:
        digest: of the bundle.
        candidate: engine, target and device.
        version: of the engine.
        options: of its sessions.
    """

    digest: str
    candidate: Candidate
    version: str
    options: SessionOptions

    @property
    def key(self) -> dict[str, Any]:
        """Everything that the compiled graphs, and the trust in them, depend on."""
        return {
            "bundle": self.digest,
            "machine": replace(cache.host(), node="").key(),  # containers get a new host name at each start
            "cgsam-edge": __version__,
            "version": self.version,
            **asdict(self.candidate),
            "options": asdict(replace(self.options, device=self.candidate.device, cache=None)),
        }

    @property
    def name(self) -> str:
        """Name of the folder within the bundle's folder."""
        where = "".join(c if c.isalnum() else "_" for c in f"{self.candidate.backend}-{self.candidate.device}")
        return f"{where}-{fingerprint(self.key)}"

    def folder(self) -> Path | None:
        """Create and return the folder; None without a cache."""
        path = cache.folder("compiled", self.digest[:32], self.name)
        if path is not None:
            _tidy(path)
        return path

    def proof(self) -> Proof | None:
        """Return the proof of a trial; None if there was none, or the compiled files have changed since."""
        root = cache.root()
        if self.name in _proofs or root is None:
            return _proofs.get(self.name)
        path = root / "compiled" / self.digest[:32] / self.name
        with suppress(OSError, ValueError, KeyError, TypeError):
            noted = json.loads((path / _PROOF).read_text(encoding="utf-8"))
            if noted["key"] == self.key and noted["files"] == {n: _state(path / n) for n in noted["files"]}:
                return Proof(bool(noted["loads"]))
        return None

    def prove(self, scratch: Path | None = None, *, loads: bool = True) -> None:
        """Record a successful trial, and keep the graphs that it compiled.

        Args:
            scratch: the folder with the compiled graphs; None if they are in `folder`, or there are none.
            loads: see `Proof`; if False, the content of `folder` is removed.
        """
        kept = self.proof()
        if loads and kept is not None and kept.loads:
            return  # another process was faster, and may have the files open
        path = self.folder()
        if path is None:
            _proofs[self.name] = Proof(loads)
            return
        with suppress(OSError):  # another process was faster, or the disk is full: a later process repeats the trial
            if not loads or (scratch is not None and scratch.is_dir()):
                shutil.rmtree(path)
            if scratch is not None and scratch.is_dir():
                scratch.rename(path)
            path.mkdir(exist_ok=True)
            files = {name: _state(path / name) for name in _files(path)}
            beside = path / f"{_PROOF}.{os.getpid()}"
            beside.write_text(json.dumps({"key": self.key, "loads": loads, "files": files}, indent=1), encoding="utf-8")
            beside.replace(path / _PROOF)


def scratch(digest: str) -> Path | None:
    """Return a new folder for the graphs that a trial compiles; None without a cache."""
    parent = cache.folder("compiled", digest[:32])
    return None if parent is None else Path(tempfile.mkdtemp(prefix=_SCRATCH, dir=parent))


def fingerprint(value: Any) -> str:
    """Return 16 hexadecimal digits that identify a JSON value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _files(path: Path) -> list[str]:
    return sorted(
        file.relative_to(path).as_posix()
        for file in path.rglob("*")
        if file.is_file() and not file.name.startswith(_PROOF)
    )


def _state(path: Path) -> list[int]:
    found = path.stat()
    return [found.st_size, found.st_mtime_ns]


def _tidy(used: Path) -> None:
    """Mark a folder as used, and remove old scratch folders and all but the most recently used bundles and settings."""
    with suppress(OSError):
        os.utime(used)
        os.utime(used.parent)
        _keep_latest([path for path in used.parent.iterdir() if not path.name.startswith(_SCRATCH)], _KEPT_SETTINGS)
        _keep_latest(list(used.parent.parent.iterdir()), _KEPT_BUNDLES)
        for path in used.parent.glob(f"{_SCRATCH}*"):
            if time.time() - path.stat().st_mtime > _ABANDONED:
                shutil.rmtree(path, ignore_errors=True)


def _keep_latest(paths: list[Path], count: int) -> None:
    for path in sorted(paths, key=lambda path: path.stat().st_mtime, reverse=True)[count:]:
        shutil.rmtree(path, ignore_errors=True)
