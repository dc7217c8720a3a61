"""How many nodes of an ONNX Runtime session each execution provider computes, as run and not as requested."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from cgsam_edge.errors import BackendError
from cgsam_edge.runtimes import telemetry

_RECORD = "session.record_ep_graph_assignment_info"


def record(settings: Any) -> None:
    """Make a session record which provider took which node; releases without that option are not changed."""
    settings.add_session_config_entry(_RECORD, "1")


def by_provider(session: Any, path: Path) -> dict[str, int]:
    """Count a session's nodes by provider.

    In releases without that record, one run on zeros with the same providers is profiled.

    Args:
        session: an ``InferenceSession`` whose settings went through `record`.
        path: file of the graph.
    """
    if hasattr(session, "get_provider_graph_assignment_info"):
        counts: Counter[str] = Counter()
        for part in session.get_provider_graph_assignment_info():
            counts[part.ep_name] += len(part.get_nodes())
        return dict(counts)
    providers = [(name, session.get_provider_options().get(name, {})) for name in session.get_providers()]
    return from_profile(path, providers)


def kinds_elsewhere(session: Any, provider: str) -> Counter[str]:
    """Count the operations that a session computes with another provider than this one, by kind."""
    parts = session.get_provider_graph_assignment_info()
    return Counter(node.op_type for part in parts if part.ep_name != provider for node in part.get_nodes())


def from_profile(path: Path, providers: list[tuple[str, dict[str, str]]]) -> dict[str, int]:
    """Run a graph once on zeros, profiled, and count the nodes by provider."""
    onnxruntime = telemetry.load("onnxruntime")
    with tempfile.TemporaryDirectory() as folder:
        settings = onnxruntime.SessionOptions()
        settings.log_severity_level = 3
        settings.enable_profiling = True
        settings.profile_file_prefix = str(Path(folder) / "profile")
        try:
            session = onnxruntime.InferenceSession(str(path), settings, providers=providers)
            session.run(None, {i.name: np.zeros(i.shape, np.float32) for i in session.get_inputs()})
            events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
        except Exception as error:  # its exceptions have no common base class
            raise BackendError(f"{path}: ONNX Runtime could not profile it: {error}") from error
    nodes = {(e["name"], e["args"]["provider"]) for e in events if e.get("args", {}).get("provider")}
    return dict(Counter(provider for _, provider in nodes))
