"""CLIP weights of all makers: which activation and how many heads, told or refused, and computed as open_clip does."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch

from cgsam_edge.bundle import Bundle
from cgsam_edge.cli import export_main
from cgsam_edge.errors import CheckpointError
from cgsam_edge.export import clip_form, clip_lists
from cgsam_edge.export.clip_lists import ClipForm
from cgsam_edge.export.config import Activation, ClipConfig
from cgsam_edge.export.graphs.clip import ClipFeatures
from cgsam_edge.export.graphs.text import TextGraph
from cgsam_edge.export.loading import load_reference
from cgsam_edge.export.reference import text
from cgsam_edge.export.reference.clip_surgery import embed_image
from cgsam_edge.manifest import FileSpec
from tests import tiny
from tests.conftest import relative_error
from tests.tiny import write

OPENAI_B16 = "5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f"
"""The SHA-256 of OpenAI's ViT-B-16.pt, as its address has it."""


def sizes(architecture: str) -> ClipConfig:
    """Return what the shapes of an architecture's weights say."""
    config = open_clip.get_model_config(architecture)
    vision, words = open_clip.CLIPVisionCfg(**config["vision_cfg"]), open_clip.CLIPTextCfg(**config["text_cfg"])
    return ClipConfig(
        embed_dim=config["embed_dim"],
        image_size=vision.image_size,
        patch_size=vision.patch_size,
        width=vision.width,
        layers=vision.layers,
        mlp_width=int(vision.width * vision.mlp_ratio),
        text_width=words.width,
        text_layers=words.layers,
        context_length=words.context_length,
        vocab_size=words.vocab_size,
    )


def recognised(path: Path, architecture: str, given: ClipForm | None = None, *, openai: bool = False) -> ClipConfig:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"weights")
    return clip_form.of_public(path, sizes(architecture), given or ClipForm(), openai=openai)


@pytest.mark.parametrize(
    ("name", "architecture", "activation", "heads"),
    [
        ("models--laion--CLIP-ViT-B-16-laion2B-s34B-b88K/snapshots/7288/weights.bin", "ViT-B-16", "gelu", (12, 8)),
        ("CLIP-ViT-B-32-DataComp.XL-s13B-b90K/open_clip_model.safetensors", "ViT-B-32", "gelu", (12, 8)),
        ("vit_b_32-quickgelu-laion400m_e31-d867053b.pt", "ViT-B-32", "quickgelu", (12, 8)),
        ("ViT-B-16-laion400m_e32.pt", "ViT-B-16", "gelu", (12, 8)),
        ("ViT-B-16-openai.pt", "ViT-B-16", "quickgelu", (12, 8)),
        ("vit_large_patch14_clip_336.openai/open_clip_model.safetensors", "ViT-L-14", "quickgelu", (16, 12)),
        ("DFN2B-CLIP-ViT-L-14/open_clip_pytorch_model.bin", "ViT-L-14", "quickgelu", (16, 12)),
        ("DFN2B-CLIP-ViT-L-14-39B/open_clip_pytorch_model.bin", "ViT-L-14", "gelu", (16, 12)),
        ("CLIP-ViT-H-14-laion2B-s32B-b79K.bin", "ViT-H-14", "gelu", (16, 16)),
        ("h14_fullcc2.5b.pt", "ViT-H-14", "quickgelu", (16, 16)),
        ("G14_fullcc2.5b.pt", "ViT-bigG-14", "quickgelu", (16, 20)),
        ("weights.pt", "ViT-g-14", "gelu", (16, 16)),  # of its shapes there are weights with GELU alone
        ("weights.pt", "ViT-B-16-plus-240", "gelu", (14, 10)),
    ],
)
def test_published_weights(
    name: str, architecture: str, activation: Activation, heads: tuple[int, int], tmp_path: Path
) -> None:
    found = recognised(tmp_path / name, architecture)
    assert (found.activation, found.heads) == (activation, heads)


def test_marks_and_hashes_of_openai(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert recognised(tmp_path / "a.pt", "ViT-B-16", openai=True).activation == "quickgelu"
    monkeypatch.setattr(clip_lists, "file_spec", lambda _: FileSpec(1, OPENAI_B16))
    assert recognised(tmp_path / "b.pt", "ViT-B-16").activation == "quickgelu"


@pytest.mark.parametrize("quick", [True, False])
def test_the_configuration_beside_the_weights(quick: bool, tmp_path: Path) -> None:
    config = open_clip.get_model_config("ViT-H-14-quickgelu" if quick else "ViT-H-14")
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": config}))
    found = recognised(tmp_path / "open_clip_pytorch_model.bin", "ViT-H-14")
    assert (found.activation, found.heads) == ("quickgelu" if quick else "gelu", (16, 16))
    with pytest.raises(CheckpointError, match=r"open_clip_config\.json: describes a CLIP that differs"):
        recognised(tmp_path / "open_clip_pytorch_model.bin", "ViT-B-16")


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"model_cfg": 3}', '{"model_cfg": {"vision_cfg": {}}}', "[" * 99999]
)
def test_a_spoilt_configuration_beside_the_weights(content: str, tmp_path: Path) -> None:
    (tmp_path / "open_clip_config.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"open_clip_config\.json: not a configuration of open_clip"):
        recognised(tmp_path / "weights.bin", "ViT-B-16")


@pytest.mark.parametrize(
    "name", ["ViT-B-16.pt", "epoch_32.pt", "laion/ViT-B-16.pt", "best.safetensors", "ViT-B-16_400M.pt"]
)
def test_what_nothing_tells_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"nothing says which activation.*--clip-activation quickgelu") as caught:
        recognised(tmp_path / name, "ViT-B-16")
    assert "--clip-heads" not in str(caught.value)  # all of that width have 12
    assert recognised(tmp_path / name, "ViT-B-16", ClipForm("gelu")).heads == (12, 8)


def test_an_unknown_width_needs_its_heads(tmp_path: Path) -> None:
    unknown = replace(sizes("ViT-B-16"), width=800, text_width=480)
    path = tmp_path / "a.pt"
    path.touch()
    with pytest.raises(CheckpointError, match=r"--clip-activation.* or how many heads .*--clip-heads VISION,TEXT"):
        clip_form.of_public(path, unknown, ClipForm(), openai=False)
    given = clip_form.from_options(path, unknown, "gelu", (10, 6))
    assert clip_form.of_public(path, unknown, given, openai=False).heads == (10, 6)
    with pytest.raises(CheckpointError, match="the 800 channels of its vision tower cannot be divided among 7 heads"):
        clip_form.from_options(path, unknown, None, (7,))


def test_contradictions(tmp_path: Path) -> None:
    """Two that know are asked, unless an option decides; what it decides against is said."""
    path = tmp_path / "CLIP-ViT-B-16-laion2B-s34B-b88K.pt"
    with pytest.raises(CheckpointError, match=r"OpenAI's own layout says quickgelu, open_clip's list .* says gelu"):
        recognised(path, "ViT-B-16", openai=True)
    said: list[str] = []
    given = ClipForm("quickgelu", known_by="your options")
    found = clip_form.of_public(path, sizes("ViT-B-16"), given, openai=False, progress=said.append)
    assert found.activation == "quickgelu"
    assert any("--clip-activation quickgelu is used, although open_clip's list of weights" in line for line in said)


def test_the_clip_that_a_checkpoint_was_trained_with(tmp_path: Path) -> None:
    """Upstream builds OpenAI's; a width that OpenAI never had is asked for."""
    path = tmp_path / "c.pth"
    found = clip_form.of_checkpoint(path, sizes("ViT-L-14"), ClipForm())
    assert (found.activation, found.heads) == ("quickgelu", (16, 12))
    assert clip_form.of_checkpoint(path, sizes("ViT-L-14"), ClipForm("gelu")).activation == "gelu"
    with pytest.raises(CheckpointError, match="how many heads its CLIP has"):
        clip_form.of_checkpoint(path, sizes("ViT-H-14"), ClipForm())
    given = clip_form.from_options(path, sizes("ViT-H-14"), None, (16,))
    assert clip_form.of_checkpoint(path, sizes("ViT-H-14"), given).heads == (16, 16)


def other_clip(*, quick: bool, std: float = 0.3) -> Any:
    """Return a seeded model of open_clip's own with heads that are not 64 wide: 4 of 20, and 3 of 24."""
    torch.manual_seed(3)
    made = open_clip.CLIP(
        embed_dim=48,
        vision_cfg={
            "layers": 8,
            "width": 80,
            "head_width": 20,
            "mlp_ratio": 2.9876,
            "patch_size": 16,
            "image_size": 64,
        },
        text_cfg={"context_length": 77, "vocab_size": 49408, "width": 72, "heads": 3, "layers": 2},
        quick_gelu=quick,
    )
    for parameter in made.parameters():
        if parameter.ndim > 1:
            parameter.data.normal_(std=std)  # so that an MLP leaves the part where all activations are alike
    return made.eval()


@pytest.fixture(scope="module")
def plain_sam(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sam") / "sam.pth"
    return write(path, tiny.upstream_parts(tiny.model(tiny.config()))[0], None)


@pytest.mark.parametrize("quick", [True, False], ids=["QuickGELU", "GELU"])
def test_both_towers_compute_what_open_clip_does(quick: bool, plain_sam: Path, tmp_path: Path) -> None:
    """The class token of the ordinary path is open_clip's image embedding; names are its text embeddings."""
    theirs = other_clip(quick=quick)
    torch.save(theirs.state_dict(), tmp_path / "clip.pt")
    activations: tuple[Activation, Activation] = ("quickgelu", "gelu") if quick else ("gelu", "quickgelu")
    right, wrong = (
        load_reference(plain_sam, clip=tmp_path / "clip.pt", clip_activation=activation, clip_heads=(4, 3))
        for activation in activations
    )
    less = load_reference(plain_sam, clip=tmp_path / "clip.pt", clip_activation=activations[0], clip_heads=(2, 2))
    torch.manual_seed(4)
    pixels, names = torch.randn(1, 3, 64, 64), ["car", "a photo of a tree"]
    with torch.inference_mode():
        image, words = theirs.encode_image(pixels), theirs.encode_text(open_clip.tokenize(names))
        assert relative_error(embed_image(right.clip.visual, pixels)[:, 0], image) < 1e-5
        assert relative_error(text.embed_texts(right.clip, names), words) < 1e-5
        for other in (wrong, less):
            assert relative_error(embed_image(other.clip.visual, pixels)[:, 0], image) > 1e-2
            assert relative_error(text.embed_texts(other.clip, names), words) > 1e-2
        fused = ClipFeatures(right.clip.visual, right.config.clip, "channels")(pixels)
        assert relative_error(fused[:, 0], image / image.norm()) < 1e-5
        tokens = open_clip.tokenize(names[1:])
        split = torch.stack([tokens // 256, tokens % 256], dim=1).float()
        end = torch.nn.functional.one_hot(tokens.argmax(dim=1), 77).float()
        assert relative_error(TextGraph(right.clip)(split, end)["text_embedding"], words[1:]) < 1e-5


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_all_targets_hold_to_it(
    plain_sam: Path, concepts_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The export refuses a target that disagrees with the PyTorch model, which agrees with open_clip."""
    torch.save(other_clip(quick=False, std=0.1).state_dict(), tmp_path / "clip.pt")
    command = ["--checkpoint", plain_sam, "--concepts", concepts_file, "--output", tmp_path / "b.cgsam"]
    command += ["--clip", tmp_path / "clip.pt", "--target", "onnxruntime,openvino,coreml", "--gate-count", "0"]
    command += ["--precision", "fp32"]
    assert export_main([*map(str, command)]) == 3
    assert "--clip-activation" in capsys.readouterr().err
    command += ["--clip-activation", "gelu", "--clip-heads", "4,3", "--text-encoder"]
    assert export_main([*map(str, command)]) == 0
    assert "CLIP with GELU, 4 and 3 heads, by your options" in capsys.readouterr().err
    created = Bundle(tmp_path / "b.cgsam").manifest.created
    assert created["clip"]["activation"] == "gelu"
    assert created["clip"]["heads"] == [4, 3]
    assert created["clip"]["name"] == "clip.pt"
