"""Nothing is sent, and nothing is left outside the cache folder: the real thing, watched from outside the process."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

from cgsam_edge import shipped
from cgsam_edge.runtimes import telemetry
from tests import watching
from tests.source import ROOMS, ROOT

SEGMENT = """
import sys, time
from cgsam_edge import Segmenter
bundle, image, seconds = sys.argv[1:]
opened = [Segmenter(bundle, backend=name, threads=1) for name in ("onnxruntime", "openvino")]
end = time.monotonic() + float(seconds)
while True:
    for segmenter in opened:
        segmenter.segment(image, segmenter.concepts[:1])
    if time.monotonic() > end:
        break
    time.sleep(2)
print("segmented")
"""

COMMANDS = """
import sys
from pathlib import Path
from cgsam_edge.cli import export_main, main
from cgsam_edge.quality.scenes.__main__ import write_scenes
bundle, image, output, checkpoint, concepts = sys.argv[1:]
def check(run, *arguments):
    assert run([str(one) for one in arguments]) == 0, arguments
check(main, "doctor", bundle)
check(main, "segment", image, "--bundle", bundle, "--output", output)
check(main, "label", image, "--bundle", bundle, "--to", "coco", "--output", output + "/labels")
if checkpoint:
    made, photos = output + "/made.cgsam", Path(output) / "photos"
    write_scenes(photos, 3, range(12), 128, 128)
    labelled = ["--images", photos / "images", "--labels", photos / "labels", "--classes", photos / "classes.txt"]
    check(main, "demo", "--output", output + "/demo")
    check(main, "eval", bundle, *labelled, "--output", output + "/eval")
    check(export_main, "--checkpoint", checkpoint, "--concepts", concepts, "--output", made, "--text-encoder",
          "--target", "onnxruntime,openvino,coreml", "--precision", "int8", "--calibration", photos / "images",
          "--calibration-count", "8", "--gate-count", "8", "--allow-degraded")
    check(main, "verify", made)
    check(main, "bench", made, "--quick", "--minutes", "1.1", "--threads", "1")
    check(main, "vocab", "add", made, "van")
    check(main, "calibrate", made, *labelled, "--skip-unknown")
    check(main, "compare", bundle, made, "--images", photos / "images", "--output", output + "/compare")
    check(main, "segment", image, "--bundle", made, "--output", output + "/again")
print("done")
"""

IMPORT = """
import sys, warnings
warnings.simplefilter("always")
import {first}
from cgsam_edge import Segmenter
from cgsam_edge.runtimes import telemetry
Segmenter(sys.argv[1], backend="onnxruntime").close()
Segmenter(sys.argv[1], backend="openvino").close()
print(telemetry.state())
"""

BUNDLE = str(shipped.BUNDLE)


def test_segmenting_is_silent(picture_file: Path, tmp_path: Path) -> None:
    seen = watching.run(["-c", SEGMENT, BUNDLE, str(picture_file), "0"], tmp_path)
    assert "segmented" in seen.output, seen.errors
    assert (seen.attempts, seen.left) == ([], [])
    assert seen.cache, "what was compiled is kept"


@pytest.mark.slow
def test_commands_are_silent(picture_file: Path, tmp_path: Path) -> None:
    output = str(tmp_path / "output")
    seen = watching.run(["-c", COMMANDS, BUNDLE, str(picture_file), output, "", ""], tmp_path)
    assert seen.output.endswith("done\n"), seen.errors
    assert (seen.attempts, seen.left) == ([], [])


@pytest.mark.slow
@pytest.mark.parametrize("watcher", watching.watchers())
def test_the_watch_sees_engines_that_are_not_silenced(watcher: str, picture_file: Path, tmp_path: Path) -> None:
    """What the tests above would miss if they could not fail; and how a user asks for the engines' telemetry."""
    arguments = ["-c", SEGMENT, BUNDLE, str(picture_file), "0"]
    wanted: dict[str, Any] = {telemetry.ENVIRONMENT: "1"}
    seen = watching.run(arguments, tmp_path, watcher, **wanted)
    assert "segmented" in seen.output, seen.errors
    assert seen.attempts
    assert any("deviceid" in path for path in seen.left)
    assert any("openvino_ga_cid" in path for path in seen.left)


@pytest.mark.slow
def test_everything_is_silent_for_over_a_minute(
    tiny_checkpoint: Path, concepts_file: Path, picture_file: Path, tmp_path: Path
) -> None:
    seen = watching.run(["-c", SEGMENT, BUNDLE, str(picture_file), "65"], tmp_path / "segment")
    assert "segmented" in seen.output, seen.errors
    assert (seen.attempts, seen.left) == ([], [])
    paths = (picture_file, tmp_path / "output", tiny_checkpoint, concepts_file)
    seen = watching.run(["-c", COMMANDS, BUNDLE, *map(str, paths)], tmp_path / "commands")
    assert seen.output.endswith("done\n"), seen.errors
    assert (seen.attempts, seen.left) == ([], [])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("first", "words"),
    [
        ("onnxruntime", "cannot be stopped now: it may contact its vendor"),
        ("openvino", "that import was reported to its vendor. Nothing more is sent."),
        ("cgsam_edge.export", "('off',)"),
    ],
)
def test_an_engine_that_the_app_imported_first(first: str, words: str, tmp_path: Path) -> None:
    seen = watching.run(["-c", IMPORT.format(first=first), BUNDLE], tmp_path)
    assert words in seen.output, seen.errors
    warned = [line for line in seen.errors.splitlines() if "RuntimeWarning" in line]
    assert len(warned) == (first != "cgsam_edge.export")
    assert all(words in line for line in warned)


def test_every_engine_is_imported_silently() -> None:
    """An import statement would go past the switches; `telemetry.load` sets them first."""
    engines = {"onnxruntime", "openvino", "nncf", "coremltools", "openvino_telemetry"}
    files = [path for folder in (*ROOMS.values(), ROOT / "benchmarks") for path in folder.rglob("*.py")]
    assert len(files) > 100
    for path in files:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not engines & {name.partition(".")[0] for name in names}, f"{path} imports {names}"
