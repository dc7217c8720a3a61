"""The end of a program while its daemon threads segment: its exit code stays, and handlers at exit still work."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BUNDLE = Path(__file__).parents[2] / "docs" / "vectors" / "bundles" / "format-2.cgsam"

PROGRAM = """
import atexit, sys, threading

def last():
    print("masks", len(segmenter.segment(picture, ["car"])["car"].mask))

atexit.register(last)  # before the package's own, so it runs after it

import numpy as np
from cgsam_edge import Segmenter

picture = np.random.default_rng(0).integers(0, 256, (96, 96, 3), np.uint8)
segmenter = Segmenter(sys.argv[1], backend=sys.argv[2], threads=1)
begun = threading.Semaphore(0)

def loop():
    while True:
        segmenter.segment(picture, ["car", "road"]).overlay()
        begun.release()

for _ in range(3):
    threading.Thread(target=loop, daemon=True).start()
for _ in range(6):
    begun.acquire()
sys.exit(7)
"""


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_daemon_threads_that_segment_do_not_crash_the_end(engine: str) -> None:
    for _ in range(2):
        command = [sys.executable, "-c", PROGRAM, str(BUNDLE), engine]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert (done.returncode, done.stdout, done.stderr) == (7, "masks 96\n", "")


FORKED = """
import os, threading
from cgsam_edge.native_calls import NATIVE_CALL

inside, stay = threading.Event(), threading.Event()

def call():
    with NATIVE_CALL:
        inside.set()
        stay.wait()

threading.Thread(target=call, daemon=True).start()
inside.wait()
child = os.fork()
if child:
    print("child", os.waitpid(child, 0)[1], flush=True)
    os._exit(0)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")
def test_a_forked_process_does_not_wait_for_calls_of_its_parent() -> None:
    done = subprocess.run([sys.executable, "-c", FORKED], capture_output=True, text=True, check=False, timeout=20)
    assert (done.returncode, done.stdout) == (0, "child 0\n")
