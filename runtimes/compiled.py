"""What engines compiled of a bundle, kept for later processes, with the proof that it was tried.

A folder of compiled graphs has a key of everything that they depend on: the bundle, the engine and its version, the
device, every option of the session, the processor and this package. An engine's own cache does not tell all of these
apart: OpenVINO's (2026.4) opens what it compiled for float32 with a hint of bfloat16, and crashes on some processors.
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
"""Bundles whose compiled graphs are kept, the last used; each may be as large as the bundle."""

_KEPT_SETTINGS = 8
"""Likewise, of each bundle, with different engines, devices and options."""

_ABANDONED = 86_400.0
"""Seconds after which scratch that a killed process left is removed."""

_proofs: dict[str, Proof] = {}
"""Of what was tried in this process, by name, for where nothing can be written."""


@dataclass(frozen=True)
class Proof:
    """That a use was tried, and agreed with PyTorch.

    Attributes:
        loads: whether the engine may load what it compiled earlier; else it crashed or was wrong when it did.
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
        """What the compiled graphs, and the trust in them, depend on."""
        return {
            "bundle": self.digest,
            "machine": replace(cache.host(), node="").key(),  # containers have a new host name at each start
            "cgsam-edge": __version__,
            "version": self.version,
            **asdict(self.candidate),
            "options": asdict(replace(self.options, device=self.candidate.device, cache=None)),
        }

    @property
    def name(self) -> str:
        """Of the folder, within that of the bundle."""
        where = "".join(c if c.isalnum() else "_" for c in f"{self.candidate.backend}-{self.candidate.device}")
        return f"{where}-{fingerprint(self.key)}"

    def folder(self) -> Path | None:
        """Make and return the folder, or None without a cache."""
        path = cache.folder("compiled", self.digest[:32], self.name)
        if path is not None:
            _tidy(path)
        return path

    def proof(self) -> Proof | None:
        """Return the proof that it was tried; None where it was not, or what was compiled then has changed."""
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
        """Note that it was tried, and keep what the trial compiled.

        Args:
            scratch: the folder with what was compiled; None where it is in `folder`, or nowhere.
            loads: see `Proof`; where it does not, what is in `folder` is removed.
        """
        kept = self.proof()
        if loads and kept is not None and kept.loads:
            return  # another process was first, and may have the files open
        path = self.folder()
        if path is None:
            _proofs[self.name] = Proof(loads)
            return
        with suppress(OSError):  # another process was first, or the disk is full: it is tried again
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
    """Return a fresh folder in which a trial of a bundle may compile, or None without a cache."""
    parent = cache.folder("compiled", digest[:32])
    return None if parent is None else Path(tempfile.mkdtemp(prefix=_SCRATCH, dir=parent))


def fingerprint(value: Any) -> str:
    """Return 16 hexadecimal digits that distinguish a JSON value from others."""
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
    """Mark a folder as used, and drop all but the last used bundles, their last used settings, and old scratch."""
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
