"""The end of a program while its daemon threads segment: its exit code stays, and handlers at exit still work."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

import cgsam_edge
from cgsam_edge.native_calls import NativeObject

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
    command = [sys.executable, "-c", PROGRAM, str(BUNDLE), engine]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (7, "masks 96\n", "")


DRAWING = """
import sys, threading
import numpy as np
from cgsam_edge import effects
from cgsam_edge.video import Video

mask = np.random.default_rng(0).random((700, 700)) > 0.3
begun = threading.Semaphore(0)

def endless(work):
    while True:
        work()
        begun.release()

for work in (lambda: effects.grown(mask, 9), lambda: list(Video(sys.argv[1]))):
    threading.Thread(target=endless, args=(work,), daemon=True).start()
for _ in range(4):
    begun.acquire()
sys.exit(7)
"""


def test_daemon_threads_that_blur_and_read_videos_do_not_crash_the_end(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (2, 240, 320, 3), np.uint8)
    clip = cv2.VideoWriter(str(tmp_path / "a.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 25, (320, 240))
    for number in range(20):
        clip.write(noise[number % 2])
    clip.release()
    command = [sys.executable, "-c", DRAWING, str(tmp_path / "a.mp4")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (7, "", "")


PACKAGE = Path(cgsam_edge.__file__).parent
OBJECTS = {"VideoCapture", "VideoWriter"}


def uncovered(node: ast.AST) -> Iterator[str]:
    """Yield the lines that call OpenCV outside of `NATIVE_CALL`, or let an object of it go without `NativeObject`."""
    if isinstance(node, ast.With) and any(ast.unparse(item.context_expr) == "NATIVE_CALL" for item in node.items):
        inside = [call for call in ast.walk(node) if isinstance(call, ast.Call)]
        kept = {id(call.args[0]) for call in inside if ast.unparse(call.func) == "NativeObject"}
        made = [call for call in inside if ast.unparse(call.func) in {f"cv2.{name}" for name in OBJECTS}]
        yield from (f"{call.lineno}: {ast.unparse(call)}" for call in made if id(call) not in kept)
        return
    if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("cv2."):
        yield f"{node.lineno}: {ast.unparse(node)}"
    for child in ast.iter_child_nodes(node):
        yield from uncovered(child)


def test_every_call_of_opencv_is_one_that_the_end_waits_for() -> None:
    """But those that render scenes, which no app runs in threads."""
    texts = {path: path.read_text("utf-8") for path in PACKAGE.rglob("*.py") if "scenes" not in path.parts}
    calling = {path: text for path, text in texts.items() if "cv2." in text}
    assert len(calling) > 15, "the package is elsewhere"
    assert [f"{path.name}:{line}" for path, text in calling.items() for line in uncovered(ast.parse(text))] == []
    assert list(uncovered(ast.parse("with NATIVE_CALL:\n    a = cv2.VideoCapture(0)\ncv2.blur(b, c)")))


def test_an_object_of_opencv_does_what_it_did() -> None:
    found = NativeObject([3, 1, 2])
    found.sort()
    assert found.index(3) == 2
    with pytest.raises(ValueError, match="not in list"):
        found.index(4)


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
