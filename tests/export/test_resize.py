"""A model at another image size: exact where it can be, interpolated where not, refused where it is of no use."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from segment_anything.modeling import ImageEncoderViT
from torch import nn

from cgsam_edge import Segmenter
from cgsam_edge.bundle import Bundle
from cgsam_edge.cli import export_main
from cgsam_edge.errors import InputError
from cgsam_edge.export.config import PromptConfig
from cgsam_edge.export.image_sizes import check_size, smaller_sizes
from cgsam_edge.export.options import ExportOptions
from cgsam_edge.export.parity import sample_picture
from cgsam_edge.export.pipeline import export_bundle
from cgsam_edge.export.reference import ReferenceModel
from cgsam_edge.export.resize import resize
from tests import tiny
from tests.conftest import relative_error

OWN, SMALL = 320, 256


@pytest.fixture(scope="module")
def own() -> ReferenceModel:
    return tiny.model(tiny.config(side=OWN))


@pytest.fixture(scope="module")
def checkpoint(own: ReferenceModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save(own, tmp_path_factory.mktemp("resize") / "tiny.pth")


@pytest.fixture
def options(checkpoint: Path, concepts_file: Path, tmp_path: Path) -> ExportOptions:
    return ExportOptions(checkpoint, concepts_file, tmp_path / "small.cgsam", image_size=SMALL)


def test_encoder_is_segment_anything_s_own() -> None:
    """Its encoder for the small size gets the big tables: it interpolates relative positions as it runs."""
    config = tiny.config("nnnn", side=OWN)
    plain = tiny.model(config)
    theirs = ImageEncoderViT(
        img_size=SMALL,
        patch_size=16,
        embed_dim=config.sam.width,
        depth=4,
        num_heads=config.sam.heads,
        mlp_ratio=config.sam.mlp_width / config.sam.width,
        out_chans=config.sam.prompt_width,
        norm_layer=partial(nn.LayerNorm, eps=1e-6),
        use_rel_pos=True,
        window_size=3,
        global_attn_indexes=(1, 3),
    ).eval()
    state = plain.sam.image_encoder.state_dict()
    for name in list(state):
        if "rel_pos" in name:
            block, axis = int(name.split(".")[1]), name[-1]
            setattr(theirs.blocks[block].attn, f"rel_pos_{axis}", nn.Parameter(state.pop(name)))
    positions = F.interpolate(state["pos_embed"].permute(0, 3, 1, 2), (16, 16), mode="bilinear", align_corners=False)
    state["pos_embed"] = positions.permute(0, 2, 3, 1)
    theirs.load_state_dict(state, strict=False)
    pixels = torch.randn(1, 3, SMALL, SMALL, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected, got = theirs(pixels), resize(plain, SMALL).sam.image_encoder(pixels)
    assert relative_error(got, expected) < 1e-5


def test_only_positions_are_new(own: ReferenceModel) -> None:
    before, after = own.state_dict(), resize(own, SMALL, 128).state_dict()
    changed = {name for name in before if before[name].data_ptr() != after[name].data_ptr()}
    tables = {f"sam.image_encoder.blocks.{i}.attn.rel_pos_{axis}" for i in (1, 3) for axis in "hw"}
    assert changed == {*tables, "sam.image_encoder.pos_embed", "clip.visual.positional_embedding"}


def test_the_own_size_changes_nothing(own: ReferenceModel) -> None:
    pixels = torch.randn(1, 3, OWN, OWN, generator=torch.Generator().manual_seed(1))
    text = F.normalize(torch.randn(1, 48, generator=torch.Generator().manual_seed(2)))
    points = torch.tensor([[[100.0, 200.0]]]), torch.ones(1, 1)
    expected, got = own.predict(pixels, text, points), resize(own, OWN).predict(pixels, text, points)
    assert torch.equal(got.mask_logits, expected.mask_logits)


def test_clip_keeps_its_side_unless_the_image_is_smaller(own: ReferenceModel) -> None:
    config = resize(own, SMALL).config
    assert (config.sam.grid, config.sam.mask_size, config.clip) == (16, 64, own.config.clip)
    wide = tiny.model(replace(own.config, clip=replace(own.config.clip, image_size=OWN)))
    assert resize(wide, SMALL).config.clip.image_size == SMALL
    assert resize(own, SMALL, 80).config.clip.grid == 5
    assert resize(own, None, 80).config.sam == own.config.sam


def test_a_place_in_the_image_keeps_its_encoding(own: ReferenceModel) -> None:
    """SAM encodes the centre of a pixel over the side, so that the same place of a smaller square is the same point."""
    small, ratio = resize(own, SMALL), SMALL / OWN
    x = torch.tensor([[[30.0, 250.0], [311.5, 4.0]]])
    labels = torch.tensor([[1.0, 0.0]])
    encoded = [
        model.sam.prompt_encoder((points, labels), None, None)[0]
        for model, points in ((own, x), (small, (x + 0.5) * ratio - 0.5))
    ]
    assert relative_error(encoded[1], encoded[0]) < 1e-4


@pytest.mark.parametrize("norm", ["tokens", "channels"])
def test_features_keep_the_scale_of_training(norm: str) -> None:
    config = tiny.config(side=OWN, prompt=PromptConfig(similarity_norm=norm))  # type: ignore[arg-type]
    pixels = torch.randn(1, 3, SMALL, SMALL, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        features = resize(tiny.model(config), SMALL, 128).image_features(pixels)
    length = features.norm(dim=1 if norm == "tokens" else -1)
    expected = math.sqrt((1 + 8 * 8) / (1 + 10 * 10)) if norm == "tokens" else 1.0
    assert torch.allclose(length, torch.full_like(length, expected), atol=1e-5)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:this model was trained")
def test_all_targets_agree_with_the_resized_model(options: ExportOptions) -> None:
    """The export compares each target's masks with the resized reference's, so finishing is the proof."""
    path = export_bundle(
        replace(options, targets=("onnxruntime", "openvino", "coreml"), precision="fp32", clip_image_size=128)
    )
    manifest = Bundle(path).manifest
    assert (manifest.geometry.image_size, manifest.geometry.mask_size, manifest.geometry.patch_grid) == (SMALL, 64, 8)
    assert manifest.created["checkpoint"]["image_size"] == OWN
    assert manifest.parity.keys() == {"onnxruntime", "openvino", "coreml"}
    with Segmenter(path, backend="onnxruntime", device="cpu") as segmenter:
        found = segmenter.encode(sample_picture(96)).predict("car", [[90, 10]])
    assert found.logits.shape == (64, 64)
    assert found.mask.shape == (64, 96)


@pytest.mark.slow
def test_public_clip_runs_at_half_of_the_new_size(concepts_file: Path, tmp_path: Path) -> None:
    made = tiny.model(tiny.config("nnnn", side=OWN))
    torch.save(made.sam.state_dict(), tmp_path / "sam.pth")
    torch.save(made.clip.state_dict(), tmp_path / "clip.pt")
    options = ExportOptions(
        tmp_path / "sam.pth",
        concepts_file,
        tmp_path / "a.cgsam",
        clip=tmp_path / "clip.pt",
        image_size=SMALL,
        **tiny.OPENAI_CLIP,
    )
    assert Bundle(export_bundle(options)).manifest.geometry.patch_grid == OWN // 2 // 16
    fixed = replace(options, clip_image_size=96)
    assert Bundle(export_bundle(fixed)).manifest.geometry.patch_grid == 96 // 16


@pytest.mark.slow
def test_a_checkpoint_s_own_clip_can_run_smaller_alone(options: ExportOptions) -> None:
    geometry = Bundle(export_bundle(replace(options, image_size=None, clip_image_size=80))).manifest.geometry
    assert (geometry.image_size, geometry.patch_grid) == (OWN, 5)


@pytest.mark.parametrize(
    ("size", "message"),
    [
        (300, "multiple of 64 from 256 to 1024 pixels, got 300; the nearest is 256 or 320"),
        (192, "got 192; the nearest is 256"),
        (0, "got 0; the nearest is 256"),
        (-512, "got -512; the nearest is 256"),
        (1088, "got 1088; the nearest is 1024"),
    ],
)
def test_sizes_that_there_are_not(size: int, message: str, options: ExportOptions) -> None:
    with pytest.raises(InputError, match=message):
        replace(options, image_size=size)


def test_all_steps_are_sizes() -> None:
    for size in (*smaller_sizes(1024), 1024):
        check_size(size)
    assert smaller_sizes(512) == (256, 320, 384, 448)
    assert smaller_sizes(256) == ()


def test_nothing_is_made_larger(options: ExportOptions) -> None:
    with pytest.raises(InputError, match=r"384 is above the checkpoint's own, 320.*Take 320 or less"):
        export_bundle(replace(options, image_size=384))
    assert options.output is not None
    assert not options.output.exists()


def test_a_clip_below_its_patch(own: ReferenceModel) -> None:
    with pytest.raises(InputError, match="CLIP's input of 9 pixels is smaller than its patch of 16"):
        resize(own, SMALL, 9)


def test_a_patch_that_does_not_fit(own: ReferenceModel) -> None:
    odd = ReferenceModel(replace(own.config, sam=replace(own.config.sam, image_size=300, patch_size=15)))
    with pytest.raises(InputError, match="256 is not a multiple of the model's patch of 15"):
        resize(odd, SMALL)


def test_auto_is_for_who_can_measure(options: ExportOptions) -> None:
    with pytest.raises(InputError, match="'auto' needs measurements"):
        export_bundle(replace(options, image_size="auto"))


@pytest.mark.parametrize("word", ["big", "51.2", "-64", ""])
def test_what_is_no_size(word: str, concepts_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        export_main(["--concepts", str(concepts_file), f"--image-size={word}"])
    assert stopped.value.code == 2
    assert f"--image-size/--imgsz: expected a number of pixels, or auto, got {word!r}" in capsys.readouterr().err
