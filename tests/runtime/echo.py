"""What children of the tests do."""

from __future__ import annotations

import os
import signal
import sys
import time

from cgsam_edge.errors import InputError
from cgsam_edge.runtimes.child import Requests, Say


def serve(requests: Requests, say: Say) -> None:
    """Answer each request by what it names."""
    for request in requests:
        do = request.get("do", "")
        if do == "die":
            sys.stderr.write("the driver said no\n")
            sys.stderr.flush()
            os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
        if do == "hang":
            time.sleep(600)
        if do == "refuse":
            raise InputError("the picture is no picture.")
        if do == "fail":
            raise ZeroDivisionError
        sys.stdout.write("noise\n")
        sys.stdout.flush()
        os.write(1, b"\xff\xfe noise past Python\n")
        say({"echo": request})
