"""The user's cache folder: compiled graphs, and which device was the fastest. Everything works without it."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import sys
import tempfile
import warnings
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

ENVIRONMENT = "CGSAM_CACHE"
"""Names another folder than the system's usual one."""

_KEPT_BUNDLES = 8
"""Bundles whose compiled graphs are kept, the last used; each may be as large as the bundle."""

_warned: set[Path] = set()


def root() -> Path:
    """Return the cache folder, there or not."""
    named = os.environ.get(ENVIRONMENT)
    if named:
        return Path(named)
    home = Path(os.path.expanduser("~"))  # noqa: PTH111 — Path.home raises where there is none
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", home / "AppData" / "Local")) / "cgsam-edge" / "Cache"
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "cgsam-edge"
    return Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache") / "cgsam-edge"


def folder(*parts: str) -> Path | None:
    """Make and return a folder within the cache, or None where it cannot be written, with one warning a process."""
    path = root().joinpath(*parts)
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        if root() not in _warned:
            _warned.add(root())
            warnings.warn(
                f"the cache folder {root()} cannot be written ({error.strerror or error}); going on without it: "
                f"opening takes longer, and devices are measured each time. Set {ENVIRONMENT} to another folder.",
                stacklevel=2,
            )
        return None
    return path


def compiled(backend: str, version: str, device: str, digest: str) -> Path | None:
    """Return the folder for what an engine compiles of one bundle for one device, or None."""
    path = folder("compiled", digest[:32], f"{backend}-{_plain(version)}-{_plain(device)}")
    if path is not None:
        os.utime(path.parent)
        _prune(path.parent.parent)
    return path


def recall(key: dict[str, Any]) -> Any:
    """Return what was remembered under a key, or None."""
    try:
        kept = json.loads(_choice(key).read_text(encoding="utf-8"))
        return kept["value"] if kept["key"] == key else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def remember(key: dict[str, Any], value: Any) -> None:
    """Remember a JSON value under a key, for later processes; does nothing where the cache cannot be written."""
    if folder("choices") is None:
        return
    path = _choice(key)
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    with suppress(OSError):  # it is measured again next time
        beside.write_text(json.dumps({"key": key, "value": value}, indent=1), encoding="utf-8")
        beside.replace(path)


@dataclass(frozen=True)
class Host:
    """This machine.

    Attributes:
        system: the operating system's name.
        architecture: the processor's.
        node: the machine's name in its network.
        processor: its name; empty where the system does not give one.
        cores: all of them.
    """

    system: str
    architecture: str
    node: str
    processor: str
    cores: int | None

    def key(self) -> str:
        """Return what distinguishes this machine from others that share the cache folder."""
        return " | ".join((self.system, self.architecture, self.node, self.processor, str(self.cores)))


@lru_cache(maxsize=1)
def host() -> Host:
    """Return the description of this machine."""
    return Host(platform.system(), platform.machine(), platform.node(), _cpu(), os.cpu_count())


def _cpu() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor()


def _choice(key: dict[str, Any]) -> Path:
    text = json.dumps(key, sort_keys=True).encode()
    return root() / "choices" / f"{hashlib.sha256(text).hexdigest()[:32]}.json"


def _plain(text: str) -> str:
    return "".join(c if c.isalnum() or c in "._" else "_" for c in text)


def _prune(kept: Path) -> None:
    """Drop the compiled graphs of all but the last used bundles."""
    with suppress(OSError):
        by_age = sorted(kept.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
        for path in by_age[_KEPT_BUNDLES:]:
            shutil.rmtree(path, ignore_errors=True)
