"""An engine for a child that answers late, to the first question alone."""

from __future__ import annotations

import time

from cgsam_edge.runtimes.child import Requests, Say


def serve(requests: Requests, say: Say) -> None:
    """Answer the first question after the time limit, and the others at once."""
    for number, _ in enumerate(requests):
        time.sleep(0 if number else 3)
        say({"outputs": [], "number": number})
