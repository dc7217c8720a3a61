"""With the network unplugged: export from local files, and segmentation."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

UNPLUGGED = """
import socket, sys

def refuse(*_args, **_kwargs):
    raise AssertionError("something wanted the network")

socket.socket.connect = socket.socket.connect_ex = refuse
socket.getaddrinfo = socket.create_connection = refuse
from cgsam_edge.cli import export_main, main
checkpoint, concepts, output, image = sys.argv[1:]
targets = ["--target", "onnxruntime,openvino"]
assert export_main(["--checkpoint", checkpoint, "--concepts", concepts, "--output", output, *targets]) == 0
for backend in ("onnxruntime", "openvino", "auto"):
    assert main(["segment", image, "--bundle", output, "--output", output + backend, "--backend", backend]) == 0
try:
    socket.create_connection(("192.0.2.1", 80))
except AssertionError:
    print("unplugged")
"""


def test_unplugged(tiny_checkpoint: Path, concepts_file: Path, picture_file: Path, tmp_path: Path) -> None:
    arguments = [tiny_checkpoint, concepts_file, tmp_path / "o.cgsam", picture_file]
    done = subprocess.run(
        [sys.executable, "-c", UNPLUGGED, *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith("unplugged")
