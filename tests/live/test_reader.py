"""The threads that read cameras, at the end of a program."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import threading, time
from cgsam_edge.live import reader
reader._LONGEST = {longest}
closed = threading.Event()
def read():
    {waiting}
    print("stopped", flush=True)
reader.start_reader(read, closed)
print("end", flush=True)
"""


@pytest.mark.parametrize(
    ("waiting", "longest", "printed"),
    [
        ("closed.wait(60); time.sleep(0.1)", 20, "end\nstopped\n"),  # still busy with a picture: Python waits for it
        ("time.sleep(60)", 0.2, "end\n"),  # hangs for longer than anybody waits: left behind
    ],
)
def test_the_end_of_a_program(waiting: str, longest: float, printed: str) -> None:
    program = PROGRAM.format(waiting=waiting, longest=longest)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (0, printed), done.stderr
