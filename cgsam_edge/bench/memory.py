"""How much memory a process needs."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path


def peak_memory() -> int | None:
    """Return bytes, the most of this process that were ever resident; None where the system does not tell."""
    with suppress(OSError):  # Linux; what getrusage says there includes the parent that it was forked from
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) * 1024
    if sys.platform == "darwin":
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return None
