"""How much memory a process needs."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path


def peak_memory() -> int | None:
    """Return the greatest resident size of this process in bytes; None if the system does not report it."""
    with suppress(OSError):  # Linux; getrusage there includes the parent that the process was forked from
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) * 1024
    if sys.platform == "darwin":
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return None
