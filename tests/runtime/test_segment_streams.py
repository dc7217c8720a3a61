"""``cgsam segment`` as a process: streams that cannot print every sign, and names that are not UTF-8."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import executable
from tests.runtime import clips
from tests.runtime.test_segment_files import made, photo


def cgsam(
    *arguments: str | bytes, bundle: Path, output: bytes = b"out", encoding: str = "utf-8"
) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    fixed: list[str | bytes] = [
        "--bundle",
        str(bundle),
        "--backend",
        "onnxruntime",
        "--concepts",
        "car",
        "--output",
        output,
    ]
    command = [executable("cgsam"), "segment", *arguments, *fixed]
    return subprocess.run(command, capture_output=True, check=False, env=environment)


@pytest.mark.parametrize(("encoding", "arrow"), [("cp1252", b"->"), ("ascii", b"->"), ("utf-8", "→".encode())])
def test_streams_that_lack_an_arrow(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str, arrow: bytes
) -> None:
    monkeypatch.chdir(tmp_path)
    photo("straße → 街.png")
    done = cgsam("straße → 街.png", bundle=tiny_bundle, encoding=encoding)
    assert done.returncode == 0, done.stderr
    assert arrow in done.stdout
    assert b"Traceback" not in done.stderr
    assert made() == {"straße → 街.json", "straße → 街.overlay.png"}


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names there are always text")
def test_names_that_are_not_utf_8(tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = os.fsdecode(b"stra\xdfe")
    Path(folder).mkdir()
    photo("a.png").rename(Path(folder, os.fsdecode(b"b\xe4r.png")))
    clips.make(Path("a.mp4"), 2).rename(Path(folder, os.fsdecode(b"b\xfcr.mp4")))
    Path(folder, os.fsdecode(b"br\xf6.png")).write_text("broken")
    names = [b"stra\xdfe/" + name for name in (b"b\xe4r.png", b"b\xfcr.mp4", b"br\xf6.png")]
    for output in (b"out", b"stra\xdfe"):
        done = cgsam(*names, bundle=tiny_bundle, output=output)
        assert done.returncode == 3, done.stderr
        assert b"br\\udcf6.png: not an image" in done.stderr
        assert b"1 of 3 files" in done.stderr
    found = {os.fsencode(name) for name in made()}
    assert found == {b"b\xe4r.json", b"b\xe4r.overlay.png", b"b\xfcr.jsonl", b"b\xfcr.overlay.mp4"}
    assert found <= {os.fsencode(name) for name in made(folder)}
    document = json.loads(Path("out", os.fsdecode(b"b\xe4r.json")).read_bytes().decode("utf-8"))
    assert os.fsencode(document["image"]) == names[0]
