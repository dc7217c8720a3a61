"""The user's cache folder: compiled graphs, and the fastest device. Everything works without it."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from cgsam_edge.caller_warning import warn_caller

ENVIRONMENT = "CGSAM_CACHE"
"""Environment variable with a folder that replaces the system's usual one."""

_warned: set[str] = set()


def root() -> Path | None:
    """Return the cache folder, whether it exists or not; None if there is neither a home folder nor the variable."""
    named = os.environ.get(ENVIRONMENT)
    if named:
        return _expanded(named)
    if sys.platform == "win32":
        return _within(os.environ.get("LOCALAPPDATA") or "~/AppData/Local", "cgsam-edge", "Cache")
    if sys.platform == "darwin":
        return _within("~/Library/Caches", "cgsam-edge")
    system = os.environ.get("XDG_CACHE_HOME", "")
    return _within(system if Path(system).is_absolute() else "~/.cache", "cgsam-edge")


def _within(folder: str, *parts: str) -> Path | None:
    path = _expanded(folder)
    return None if path is None else path.joinpath(*parts)


def _expanded(folder: str) -> Path | None:
    """Put the home folder in place of "~"; without a home folder, "~" would become a folder of that name."""
    path = Path(os.path.expanduser(folder))  # noqa: PTH111 — Path.expanduser raises where there is none
    return None if folder.startswith("~") and not path.is_absolute() else path


def problem(*parts: str) -> str:
    """Create a folder within the cache; return why it cannot be written, or an empty text."""
    path = root()
    if path is None:
        return f"this user has no home folder, so nothing is cached. Set {ENVIRONMENT} to a folder."
    try:
        path.joinpath(*parts).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.joinpath(*parts)):
            return ""
    except OSError as error:
        return (
            f"the cache folder {path} cannot be written ({error.strerror or error}), so nothing is cached. Set "
            f"{ENVIRONMENT} to another folder."
        )


def folder(*parts: str) -> Path | None:
    """Create and return a folder within the cache; None, with one warning per process, if it cannot be written."""
    path, why = root(), problem(*parts)
    if path is not None and not why:
        return path.joinpath(*parts)
    if why not in _warned:
        _warned.add(why)
        warn_caller(f"{why} Continuing without a cache: opening takes longer, and devices are measured each time.")
    return None


def recall(key: dict[str, Any]) -> Any:
    """Return the value remembered under a key, or None."""
    path = root()
    try:
        if path is None:
            return None
        kept = json.loads(_choice(path, key).read_text(encoding="utf-8"))
        return kept["value"] if kept["key"] == key else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def remember(key: dict[str, Any], value: Any) -> None:
    """Remember a JSON value under a key, for later processes; does nothing if the cache cannot be written."""
    held = folder("choices")
    if held is None:
        return
    path = _choice(held.parent, key)
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
        processor: its name; empty if the system does not report one.
        cores: number of all cores.
        features: a short digest of the processor's instruction sets; empty if the system does not list them.
    """

    system: str
    architecture: str
    node: str
    processor: str
    cores: int | None
    features: str = ""

    def key(self) -> str:
        """Return a key that distinguishes this machine from others that share the cache folder."""
        return " | ".join((self.system, self.architecture, self.node, self.processor, str(self.cores), self.features))


@lru_cache(maxsize=1)
def host() -> Host:
    """Return the description of this machine."""
    processor = _cpuinfo("model name") or platform.processor()
    features = " ".join(sorted((_cpuinfo("flags") or _cpuinfo("Features")).split()))  # on x86, on Arm
    short = hashlib.sha256(features.encode()).hexdigest()[:8] if features else ""
    return Host(platform.system(), platform.machine(), platform.node(), processor, os.cpu_count(), short)


def _cpuinfo(name: str) -> str:
    """Return the first entry with that name in /proc/cpuinfo, or an empty text."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.partition(":")[0].strip() == name:
                return line.partition(":")[2].strip()
    return ""


def _choice(path: Path, key: dict[str, Any]) -> Path:
    text = json.dumps(key, sort_keys=True).encode()
    return path / "choices" / f"{hashlib.sha256(text).hexdigest()[:32]}.json"
