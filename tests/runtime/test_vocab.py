"""New concepts for an existing bundle: as if the export had known them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import open_clip
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tokenizers import Tokenizer

from cgsam_edge import BackendError, BundleError, ConceptsError, Segmenter, UnknownConceptError
from cgsam_edge.bundle import Bundle
from cgsam_edge.cli import main
from cgsam_edge.export.loading import load_reference
from cgsam_edge.export.options import ExportOptions
from cgsam_edge.export.pipeline import export_bundle
from cgsam_edge.export.reference import text
from cgsam_edge.export.tokenizer import write_tokenizer
from cgsam_edge.manifest import TOKENIZER_FILE
from cgsam_edge.revise import add_concepts, remove_concepts
from tests import tiny
from tests.runtime import fakes

pytestmark = pytest.mark.filterwarnings("ignore:this model was trained")

NEW = "delivery van | van"


def export(checkpoint: Path, concepts: str, output: Path, *, prompt_ensemble: bool = False) -> Path:
    file = output.with_suffix(".txt")
    file.write_text(concepts, encoding="utf-8")
    options = ExportOptions(checkpoint, file, output, text_encoder=True, prompt_ensemble=prompt_ensemble)
    return export_bundle(options)


@pytest.fixture(scope="module")
def bundles(text_bundle: Path, tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A bundle without the new concept, and one that was exported with it."""
    folder = tmp_path_factory.mktemp("vocab")
    return text_bundle, export(tiny_checkpoint, f"car\nroad\n{NEW}\n", folder / "with.cgsam")


@pytest.fixture
def learning(bundles: tuple[Path, Path], tmp_path: Path) -> Path:
    """A bundle to change."""
    return Path(shutil.copytree(bundles[0], tmp_path / "learning.cgsam"))


def assert_same(got: Path, expected: Path) -> None:
    a, b = Bundle(got).vocabulary, Bundle(expected).vocabulary
    assert a.concepts == b.concepts
    np.testing.assert_allclose(a.features, b.features, atol=2e-6)
    np.testing.assert_allclose(a.rows, b.rows, atol=2e-6 * max(1.0, float(np.abs(b.rows).max(initial=0))))


def test_added_equals_exported(bundles: tuple[Path, Path], learning: Path, picture: Image.Image) -> None:
    assert add_concepts(learning, [NEW]) == learning
    assert_same(learning, bundles[1])
    Bundle(learning).verify()
    with Segmenter(learning) as added, Segmenter(bundles[1]) as exported:
        one, other = (s.segment(picture, "van")["delivery van"] for s in (added, exported))
    np.testing.assert_allclose(one.logits, other.logits, atol=1e-3 * other.logits.std())
    assert one.present


@pytest.mark.slow
def test_templates_go_along(tiny_checkpoint: Path, tmp_path: Path) -> None:
    without = export(tiny_checkpoint, "car\n", tmp_path / "a.cgsam", prompt_ensemble=True)
    expected = export(tiny_checkpoint, "car\nvan\n", tmp_path / "b.cgsam", prompt_ensemble=True)
    assert_same(add_concepts(without, ["van"]), expected)


@pytest.mark.slow
def test_a_model_without_text_in_its_blocks(conversions: None, tmp_path: Path) -> None:
    checkpoint = tiny.save(tiny.model(tiny.config("ppvv")), tmp_path / "tiny.pth")
    without = export(checkpoint, "car\n", tmp_path / "a.cgsam")
    assert_same(add_concepts(without, ["van"]), export(checkpoint, "car\nvan\n", tmp_path / "b.cgsam"))


def test_a_ready_embedding(bundles: tuple[Path, Path], learning: Path, tiny_checkpoint: Path) -> None:
    clip = load_reference(tiny_checkpoint).clip
    np.save(learning.parent / "van.npy", text.raw_feature(clip, ("delivery van", "van")).numpy()[None])
    assert main(["vocab", "add", str(learning), NEW, "--embedding", str(learning.parent / "van.npy")]) == 0
    assert_same(learning, bundles[1])


def test_removed_and_added_again(bundles: tuple[Path, Path], learning: Path) -> None:
    other = learning.parent / "other.cgsam"
    assert remove_concepts(learning, ["ROAD"], output=other) == other
    assert Bundle(other).vocabulary.names == ("car",)
    assert Bundle(learning).vocabulary.names == ("car", "road")
    assert_same(add_concepts(other, ["road"]), bundles[0])


def test_the_command(learning: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["vocab", "add", str(learning), NEW, "tree"]) == 0
    assert "4 concepts" in capsys.readouterr().out
    assert main(["vocab", "remove", str(learning), "van", "tree"]) == 0
    assert "2 concepts" in capsys.readouterr().out
    assert main(["verify", str(learning), "--backend", "onnxruntime"]) == 0
    assert "text_row" in capsys.readouterr().out
    assert main(["vocab", "list", str(learning)]) == 0
    assert capsys.readouterr().out.splitlines() == ["car  (always present)", "road  (always present)"]


def test_the_command_says_what_it_changed(learning: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["vocab", "add", str(learning), "van\u200b\t# all", r"C\#"]) == 0
    assert (
        "note: concept: 'van': U+200B (ZERO WIDTH SPACE), which cannot be seen, was left out."
        in capsys.readouterr().err
    )
    assert Bundle(learning).vocabulary.names == ("car", "road", "van", "C#")
    assert main(["vocab", "remove", str(learning), "VAN\ufeff", "c#"]) == 0


def test_without_the_encoder_the_error_says_what_to_do(tiny_bundle: Path) -> None:
    with pytest.raises(BundleError, match=r"has no text encoder.*--text-encoder, or with the concept"):
        add_concepts(tiny_bundle, ["van"])
    with pytest.raises(BundleError, match="not even from an embedding"):
        add_concepts(tiny_bundle, ["van"], embedding=np.ones(48, np.float32))


@pytest.mark.parametrize(
    ("concepts", "message"),
    [
        (["Road"], "'Road' is already there, as 'road'"),
        (["van", "lorry | VAN"], "'VAN' is already there, as 'van'"),
        (["van | "], "an empty name in 'van | '"),
        (["van " * 90], "is too long: 92 tokens, CLIP takes 77"),
        ([], "expected concepts, got 0"),
        (["# van"], "'# van' names no concept"),
        (["van# x"], "is the '#' in 'van# x' part of the name"),
    ],
)
def test_names_that_cannot_be_added(learning: Path, concepts: list[str], message: str) -> None:
    before = sorted((p.name, p.stat().st_size) for p in learning.rglob("*"))
    with pytest.raises(ConceptsError, match=message.replace("|", r"\|")):
        add_concepts(learning, concepts)
    assert sorted((p.name, p.stat().st_size) for p in learning.rglob("*")) == before


def test_embeddings_that_do_not_fit(learning: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConceptsError, match=r"must be \d+ finite numbers.*got shape \(3,\)"):
        add_concepts(learning, ["van"], embedding=np.zeros(3, np.float32))
    (learning.parent / "van.npy").write_text("no numbers")
    assert main(["vocab", "add", str(learning), "van", "--embedding", str(learning.parent / "van.npy")]) == 3
    assert "not a .npy file of numbers" in capsys.readouterr().err


def test_what_cannot_be_removed(learning: Path) -> None:
    with pytest.raises(UnknownConceptError, match="no concept 'zebra'"):
        remove_concepts(learning, ["zebra"])
    with pytest.raises(ConceptsError, match="must keep at least one concept"):
        remove_concepts(learning, ["car", "road"])


def test_a_damaged_tokenizer(learning: Path) -> None:
    (learning / TOKENIZER_FILE).write_text("{}")
    with pytest.raises(BundleError, match="truncated or altered"):
        add_concepts(learning, ["van"])


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    write_tokenizer(path)
    return Tokenizer.from_file(str(path))


_OPEN_CLIP = open_clip.SimpleTokenizer()


@settings(deadline=None, max_examples=300)
@given(st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S", "Zs"], max_codepoint=0x2FFF), max_size=24))
def test_tokens_are_open_clips(tokenizer: Tokenizer, name: str) -> None:
    import ftfy

    if ftfy.fix_text(name) != name or "&" in name:
        return  # mended encodings and HTML entities are open_clip's own
    assert tokenizer.encode(name, add_special_tokens=False).ids == _OPEN_CLIP.encode(name)


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_an_engine_that_crashes_on_names_costs_a_child(
    learning: Path, fresh: Path, trials: None, engines: Callable[..., None]
) -> None:
    before = Bundle(learning).vocabulary.names
    engines(fakes.CrashingText())
    with pytest.raises(BackendError, match="died of SIGKILL"):
        add_concepts(learning, [NEW], backend="crashing-text")
    assert Bundle(learning).vocabulary.names == before
