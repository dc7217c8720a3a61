"""Labelling on a real cluster of one machine: the same files, whatever dies."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cgsam_edge.bulk.processes import DIED
from tests.bulk.conftest import files
from tests.bulk.poison import SITECUSTOMIZE

pytest.importorskip("ray", reason="the extra 'ray' is not installed")

OPTIONS = ("--to", "coco", "--concepts", "road,car", "--backend", "onnxruntime", "--threads", "1", "--workers", "2")

RUN = """
import sys
from cgsam_edge.cli import main
if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
"""

AS_A_FUNCTION = """
import json, os, sys
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
import ray
from pathlib import Path
from cgsam_edge.bulk import label
from cgsam_edge.datasets import FORMATS, LabelledPicture
folder, output = sys.argv[1:]
ray.init(num_cpus=3, include_dashboard=False, _node_ip_address="127.0.0.1", log_to_driver=False)
pictures = ray.data.read_binary_files(folder, include_paths=True)
label(pictures, concepts=["car"], backend="onnxruntime", threads=1).write_parquet(output)
rows = ray.data.read_parquet(output).sort("name").iter_rows()
import cgsam_edge.datasets.picture
cgsam_edge.datasets.picture.mask_polygons = None  # the workers have computed what is needed
pictures = (LabelledPicture.from_json(row["label"], row["outlines"]) for row in rows if not row["error"])
FORMATS["coco"].write(pictures, ["car"], Path(output) / "set")
"""


def python(code: str, folder: Path, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a process apart: Ray's processes end with it."""
    file = folder / "program.py"
    file.write_text(code)
    command = [sys.executable, str(file), *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **environment}, timeout=300
    )


@pytest.mark.slow
def test_ray_writes_the_same_files_and_a_poisoned_picture_is_the_only_loss(
    streets: Path, own_cache: Path, tmp_path: Path
) -> None:
    """Every file of both runs; one picture kills whatever process reads it."""
    folder = Path(shutil.copytree(streets, tmp_path / "streets"))
    shutil.copy(folder / "morning/0.png", folder / "poison.png")
    (folder / "bad.png").write_text("no picture")
    (tmp_path / "sitecustomize.py").write_text(SITECUSTOMIZE)
    for name, more in (("plain", ()), ("ray", ("--cluster", "auto"))):
        output = tmp_path / name
        done = python(RUN, tmp_path, "label", folder, *OPTIONS, "--output", output, *more, PYTHONPATH=str(tmp_path))
        assert done.returncode == 3, done.stderr
        lines = [json.loads(line) for line in (output / "pictures.jsonl").read_text().splitlines()]
        errors = {line["name"]: line["error"] for line in lines if "error" in line}
        assert errors == {"poison.png": DIED, "bad.png": "bad.png: not an image that Pillow can read."}
        assert len(lines) == 7
    assert files(tmp_path / "ray") == files(tmp_path / "plain")


@pytest.mark.slow
def test_a_cluster_that_is_not_there(streets: Path, own_cache: Path, tmp_path: Path) -> None:
    for address in ("127.0.0.1:9", "somewhere"):
        done = python(RUN, tmp_path, "label", streets, *OPTIONS, "--output", tmp_path / "run", "--cluster", address)
        assert done.returncode == 3
        assert f"--cluster {address}: Ray has no cluster that can be reached at {address} (" in done.stderr


@pytest.mark.slow
def test_a_dataset_of_ray_becomes_labels_in_parquet_and_those_a_data_set(
    streets: Path, own_cache: Path, tmp_path: Path
) -> None:
    done = python(AS_A_FUNCTION, tmp_path, streets / "morning", tmp_path / "labels")
    assert done.returncode == 0, done.stderr
    data = json.loads((tmp_path / "labels/set/annotations/instances_default.json").read_text())
    assert [(one["file_name"].rsplit("/")[-1], one["width"]) for one in data["images"]] == [
        ("0.png", 128),
        ("1.png", 128),
    ]
