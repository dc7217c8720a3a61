"""The commands of the guide, on a real server."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.serve.running import Client

GUIDE = (Path(__file__).parents[2] / "docs" / "guides" / "serve.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"test_guide\.py runs it -->\n```(\w+)\n(.*?)```", GUIDE, re.DOTALL)


def test_the_guide_has_blocks_to_run() -> None:
    assert [kind for kind, _ in BLOCKS] == ["bash", "python"]


def written(folder: Path, street: bytes) -> None:
    """Write the picture where `cgsam demo` writes it."""
    (folder / "demo").mkdir()
    (folder / "demo" / "street.png").write_bytes(street)


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_its_commands(server: Client, street: bytes, tmp_path: Path) -> None:
    written(tmp_path, street)
    script = BLOCKS[0][1].replace("localhost:8765", f"localhost:{server.port}").replace("curl", "curl -sS --fail")
    done = subprocess.run(["bash", "-ec", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [one["concept"] for one in json.loads(done.stdout)["concepts"]] == ["car", "road"]
    assert json.loads((tmp_path / "annotations.json").read_text())["categories"][0]["name"] == "car"
    assert Image.open(tmp_path / "overlay.png").height >= 512


def test_its_program(server: Client, street: bytes, tmp_path: Path) -> None:
    written(tmp_path, street)
    program = BLOCKS[1][1].replace("localhost:8765", f"localhost:{server.port}")
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[0]) > 1000


def test_its_table_has_every_status() -> None:
    from cgsam_edge.serve import openapi

    named = {int(number) for row in re.findall(r"^\| ([\d, ]+) \|", GUIDE, re.MULTILINE) for number in row.split(",")}
    assert {*openapi.POSTED} - {500} == named
