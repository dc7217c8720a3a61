"""An engine for a child that crashes as compilers of graphs do: on one graph, with a violation of memory."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from cgsam_edge.export import engine_child
from cgsam_edge.runtimes.child import Requests, Say
from cgsam_edge.runtimes.openvino import OpenVinoBackend
from cgsam_edge.runtimes.protocol import Session, SessionOptions


def serve(requests: Requests, say: Say) -> None:
    """Do what the child of an export does, and crash on opening the concept graph."""
    opening = OpenVinoBackend.open

    def crash(self: OpenVinoBackend, path: Path, options: SessionOptions) -> Session:
        if path.stem == "concept":
            os.kill(os.getpid(), signal.SIGSEGV)
        return opening(self, path, options)

    OpenVinoBackend.open = crash  # type: ignore[method-assign]
    engine_child.serve(requests, say)
