"""The whole export: what appears, and what never does."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from cgsam_edge import Segmenter
from cgsam_edge.bundle import Bundle
from cgsam_edge.errors import CheckpointError, ExportError, InputError, OutputError
from cgsam_edge.export import parity
from cgsam_edge.export.config import PromptConfig
from cgsam_edge.export.options import ExportOptions
from cgsam_edge.export.pipeline import export_bundle
from cgsam_edge.runtimes import cache, children
from tests import tiny
from tests.commands import cgsam, fails
from tests.conftest import Exported, executable

COMMAND = "from cgsam_edge.cli import export_main; import sys; sys.exit(export_main(sys.argv[1:]))"


@pytest.fixture
def old(options: ExportOptions, tiny_bundle: Path) -> Path:
    """A bundle that lies where the options point."""
    assert options.output is not None
    return Path(shutil.copytree(tiny_bundle, options.output))


@pytest.fixture
def options(tiny_checkpoint: Path, concepts_file: Path, tmp_path: Path) -> ExportOptions:
    return ExportOptions(tiny_checkpoint, concepts_file, tmp_path / "made.cgsam")


def snapshot(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_manifest_says_what_was_done(tiny_bundle: Path) -> None:
    manifest = Bundle(tiny_bundle).manifest
    assert [c.name for c in manifest.concepts] == ["car", "road", "tree", "building"]
    assert manifest.concepts[2].synonyms == ("shrub",)
    assert manifest.parity["onnxruntime"][0]["max_error"] < 1e-3
    assert manifest.cost["fused"]["parameters"] < manifest.cost["reference"]["parameters"]
    assert manifest.cost["fused"]["macs"] < manifest.cost["reference"]["macs"]
    assert manifest.created["checkpoint"]["name"] == "tiny.pth"
    files = {p.relative_to(tiny_bundle).as_posix() for p in tiny_bundle.rglob("*") if p.is_file()}
    assert files == {*manifest.files, "manifest.json"}


def test_progress_names_the_stages(tiny_export: Exported) -> None:
    lines = tiny_export.lines
    text = "\n".join(lines)
    for stage in ("read tiny.pth", "fuse", "convert image", "parity", "fusion: parameters", "wrote"):
        assert stage in text
    total = lines[0].split("]")[0].split("/")[1]
    assert f"[{total}/{total}]" in text


def test_the_unfinished_bundle_is_neither_tried_in_a_child_nor_kept_in_the_cache(
    options: ExportOptions, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A trial computes everything once more, and a cache keeps the compiled graphs of a bundle that nobody opens."""
    monkeypatch.setenv(cache.ENVIRONMENT, str(tmp_path / "cache"))
    monkeypatch.delenv(children.NO_TRIAL)
    export_bundle(options)
    assert not (tmp_path / "cache").exists()


def test_output_is_used_as_given_and_defaults_to_the_stem(
    options: ExportOptions, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert replace(options, output=None).destination == Path("concepts.cgsam")
    assert export_bundle(replace(options, output=Path("plain name"))) == Path("plain name")
    assert (tmp_path / "plain name" / "manifest.json").is_file()


@pytest.mark.slow
def test_a_bundle_is_replaced_and_anything_else_left_alone(options: ExportOptions, old: Path, tmp_path: Path) -> None:
    export_bundle(replace(options, prompt_slots=7))
    assert Bundle(old).manifest.prompting.click_slots == 7
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years")
    with pytest.raises(OutputError, match="not a bundle; it was not changed"):
        export_bundle(replace(options, output=tmp_path / "mine"))
    with pytest.raises(OutputError, match="no such folder"):
        export_bundle(replace(options, output=tmp_path / "nowhere" / "x.cgsam"))
    assert {p.name for p in tmp_path.iterdir()} == {"made.cgsam", "mine"}


def test_a_failure_leaves_the_old_bundle(options: ExportOptions, old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = snapshot(old)
    monkeypatch.setattr(parity, "ERROR_LIMIT", {"fp32": 0.0})
    with pytest.raises(ExportError, match="disagree with the PyTorch model"):
        export_bundle(options)
    assert snapshot(old) == before
    assert [p.name for p in old.parent.iterdir()] == ["made.cgsam"]


def start_export(options: ExportOptions, prelude: str = "") -> subprocess.Popen[str]:
    arguments = ["--checkpoint", str(options.checkpoint), "--concepts", str(options.concepts)]
    command = [sys.executable, "-c", prelude + COMMAND, *arguments, "--output", str(options.output)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "kill"])
def test_an_interrupt_leaves_the_old_bundle(options: ExportOptions, old: Path, number: signal.Signals) -> None:
    before = snapshot(old)
    process = start_export(options)
    assert process.stderr is not None
    for line in process.stderr:
        if "convert concept" in line:
            assert len(list(old.parent.iterdir())) == 2, "the new one is being written beside the old"
            process.send_signal(number)
            break
    rest = process.stderr.read()
    assert process.wait() == 130
    assert "interrupted; no half-written output was left" in rest
    assert "Traceback" not in rest
    assert snapshot(old) == before
    assert [p.name for p in old.parent.iterdir()] == ["made.cgsam"]


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="POSIX limits")
def test_a_full_disk_leaves_the_old_bundle(options: ExportOptions, old: Path) -> None:
    """The kernel refuses to grow a file, as it does on a full disk; the rest of the way is the same."""
    before = snapshot(old)
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, 150_000)); "
    process = start_export(options, limit)
    _, errors = process.communicate()
    assert process.returncode == 3, errors
    assert "could not be written: the disk is full" in errors
    assert "Traceback" not in errors
    assert snapshot(old) == before
    assert [p.name for p in old.parent.iterdir()] == ["made.cgsam"]


@pytest.mark.slow
def test_same_input_same_graphs(options: ExportOptions, tiny_bundle: Path, anew: None) -> None:
    made = Bundle(export_bundle(options)).manifest
    assert made.files == Bundle(tiny_bundle).manifest.files


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:this model was trained")
@pytest.mark.parametrize("kinds", ["pppt", "vvvv", "pppp"])
def test_every_kind_of_adapter_goes_through_the_runtime(kinds: str, options: ExportOptions, tmp_path: Path) -> None:
    """The export compares the runtime's masks with the reference's, so finishing is the proof."""
    checkpoint = tiny.save(tiny.model(tiny.config(kinds)), tmp_path / "c.pth")
    output = export_bundle(replace(options, checkpoint=checkpoint, precision="fp16" if kinds == "pppt" else "fp32"))
    with Segmenter(output) as segmenter:
        assert set(segmenter.segment(parity.sample_picture(80))) == set(segmenter.concepts)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:this model was trained")
def test_training_free_baseline(options: ExportOptions, tmp_path: Path) -> None:
    """A public SAM and public CLIP: no adapter, an empty table, one embedding for all concepts."""
    made = tiny.model(tiny.config("nnnn"))
    torch.save(made.sam.state_dict(), tmp_path / "sam.pth")
    torch.save(made.clip.state_dict(), tmp_path / "clip.pt")
    output = export_bundle(
        replace(options, checkpoint=tmp_path / "sam.pth", clip=tmp_path / "clip.pt", **tiny.OPENAI_CLIP)
    )
    with Segmenter(output) as segmenter:
        encoded = segmenter.encode(parity.sample_picture(80))
        encoded.segment()
        assert len(encoded._decoder._embeddings) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"targets": ("tensorflow",)}, "no target 'tensorflow'; expected one of onnxruntime"),
        ({"precision": "int3"}, "no precision 'int3'"),
        ({"prompt_slots": 4}, "5 text points do not fit 4 prompt slots"),
    ],
)
def test_wrong_options(options: ExportOptions, change: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        replace(options, **change)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"points": 0}, "at least 1 point, got 0"),
        ({"threshold": 1.0}, "between 0 and 1, got 1"),
        ({"threshold": float("nan")}, "between 0 and 1, got nan"),
    ],
)
def test_wrong_prompt_settings(change: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        PromptConfig(**change)  # type: ignore[arg-type]


def test_a_bad_checkpoint_costs_no_folder(options: ExportOptions, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such file"):
        export_bundle(replace(options, checkpoint=tmp_path / "missing.pth"))
    assert list(tmp_path.iterdir()) == []


def test_command_line(options: ExportOptions, tmp_path: Path) -> None:
    arguments = [
        "--target",
        "onnxruntime",
        "--checkpoint",
        str(tmp_path / "no.pth"),
        "--concepts",
        str(options.concepts),
    ]
    fails(cgsam("export", *arguments, cwd=tmp_path), 3, "cgsam: error:", "no.pth: no such file")
    usage = subprocess.run([executable("cgsam-export"), "--frobnicate"], capture_output=True, text=True, check=False)
    assert usage.returncode == 2
