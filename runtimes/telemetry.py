"""The engines' telemetry, off unless a user asks for it: every engine is imported through `load`.

ONNX Runtime (seen in 1.32) writes a device id and an event database to the user's cache folder when it is imported and
contacts mobile.events.data.microsoft.com within a minute. OpenVINO and NNCF report to www.google-analytics.com through
the package openvino_telemetry and keep an id in the home folder. Ray reports how a cluster that it starts is used.
`docs/reliability.md` shows how the silence is tested.
"""

from __future__ import annotations

import importlib
import os
import sys
import threading
from contextlib import suppress
from typing import Any

from cgsam_edge.caller_warning import warn_caller

ENVIRONMENT = "CGSAM_ENGINE_TELEMETRY"
"""Environment variable; 1 leaves the engines' telemetry at their makers' defaults."""

_ORT_SWITCH = "ORT_DISABLE_TELEMETRY"
_RAY_SWITCH = "RAY_USAGE_STATS_ENABLED"
_INTEL = "openvino_telemetry"

_EARLY = {
    "onnxruntime": "onnxruntime was imported before cgsam_edge could turn its telemetry off, and it cannot be stopped "
    f"now: it may contact its vendor until this process ends. Set {_ORT_SWITCH}=1 before you import it.",
    _INTEL: "openvino or nncf was imported before cgsam_edge could turn its telemetry off: that import was reported to "
    "its vendor. Nothing more is sent.",
}

_lock = threading.Lock()
_left: list[str] = []
_done = False


def wanted() -> bool:
    """Return whether the user has enabled the engines' telemetry."""
    return os.environ.get(ENVIRONMENT, "").strip().lower() in ("1", "true", "yes", "on")


def silence() -> None:
    """Turn off the telemetry of all engines in this process and its children, unless the user has enabled it.

    An engine that the app imported earlier may have sent a report already; a warning says so, and `state` repeats it.
    """
    global _done  # noqa: PLW0603 — a process is silenced once
    with _lock:
        if _done or wanted():
            return
        _done = True
        _left.extend(_silence())
    for line in _left:
        warn_caller(line, RuntimeWarning)


def load(name: str) -> Any:
    """Import an engine, or a module of one, with telemetry off.

    Raises:
        ImportError: it is not installed, or cannot be loaded.
    """
    silence()
    return importlib.import_module(name)


def state() -> tuple[str, ...]:
    """Return lines about the state of the engines' telemetry."""
    if wanted():
        return (f"on, because {ENVIRONMENT} is set",)
    return tuple(_left) or ("off",)


def _silence() -> list[str]:
    """Set all switches, and return warnings about engines that were imported too early."""
    late = []
    if "onnxruntime" in sys.modules and os.environ.get(_ORT_SWITCH) != "1":
        late.append(_EARLY["onnxruntime"])
        with suppress(Exception):  # for older releases on Windows, which trace to the system
            sys.modules["onnxruntime"].disable_telemetry_events()
    os.environ[_ORT_SWITCH] = "1"
    os.environ[_RAY_SWITCH] = "0"
    loaded = sys.modules.get(_INTEL)
    sys.modules[_INTEL] = None  # type: ignore[assignment]  # to import it raises ImportError, as if it were not installed
    if loaded is not None:
        late.append(_EARLY[_INTEL])
        with suppress(Exception):  # the only sender of the process; raises if nobody has made it yet
            loaded.Telemetry().consent = False
    return late
