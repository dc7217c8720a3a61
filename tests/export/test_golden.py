"""The reference model and the fused graphs against numbers that upstream's own code computed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image

from cgsam_edge import Segmenter
from cgsam_edge.export import fusion
from cgsam_edge.export.graphs import normalise_pixels, semantic_adapters
from cgsam_edge.export.graphs.build import build_graphs
from cgsam_edge.export.loading import load_reference
from cgsam_edge.export.mil.evaluator import EvaluatorBackend
from cgsam_edge.export.options import ExportOptions
from cgsam_edge.export.pipeline import export_bundle
from cgsam_edge.export.reference import ReferenceModel, text
from cgsam_edge.export.reference.clip_surgery import clip_pixels, embed_image
from cgsam_edge.export.reference.similarity import dense_prompt, similarity, similarity_map
from cgsam_edge.image import to_pixels
from cgsam_edge.runtimes.protocol import Backend
from tests.conftest import GOLDEN, camvid_frame, relative_error, slow

if TYPE_CHECKING:
    from numpy.typing import NDArray

STAGE_LIMIT = 1e-4
LOGITS_LIMIT = 1e-3
IOU_LIMIT = 1e-4
FLIPPED_LIMIT = 1e-4
FP16_MASK_IOU = 0.99


@dataclass(frozen=True)
class Case:
    """A golden file and the frame that it was computed from."""

    name: str
    frame: str
    concepts: tuple[str, ...]

    def load(self) -> Any:
        return np.load(GOLDEN / f"{self.name}.npz")

    def frame_path(self) -> Path:
        return camvid_frame(self.frame)

    def pixels(self, size: int = 1024) -> torch.Tensor:
        return torch.from_numpy(to_pixels(Image.open(self.frame_path()).convert("RGB"), size))


TEXT_ONLY = Case("small_text_only", "0016E5_07959.jpg", ("car", "road", "tree"))
MANUAL = Case("small_manual", "0016E5_07985.jpg", ("car", "building"))
VIT_B = Case("vit_b_text_only", "0016E5_07959.jpg", ("car", "road"))
SMALL = pytest.mark.parametrize("case", [TEXT_ONLY, MANUAL], ids=lambda c: c.name)

SYNONYMS = {"tree": ("tree", "shrub")}


def check_text(model: ReferenceModel, case: Case) -> None:
    golden = case.load()
    redundant = text.redundant_feature(model.clip)
    assert relative_error(redundant, golden["redundant_text_embedding"]) < STAGE_LIMIT
    for concept in case.concepts:
        names = SYNONYMS.get(concept, (concept,))
        tokens = text.tokenize(names, model.config.clip.context_length)
        np.testing.assert_array_equal(tokens, golden[f"{concept}/tokens"])
        raw = text.raw_feature(model.clip, names)
        assert relative_error(raw, golden[f"{concept}/text_embedding"]) < STAGE_LIMIT
        assert relative_error(text.text_feature(raw, redundant), golden[f"{concept}/text_feature"]) < STAGE_LIMIT


def check_reference(model: ReferenceModel, case: Case) -> None:
    golden, pixels = case.load(), normalise_pixels(case.pixels())
    assert relative_error(pixels[0, :, ::64, ::64], golden["image_sample"]) == 0
    small = clip_pixels(pixels, model.config.clip.image_size)
    assert relative_error(small[0, :, ::32, ::32], golden["clip_input_sample"]) < STAGE_LIMIT
    with torch.inference_mode():
        assert relative_error(embed_image(model.clip.visual, small), golden["clip_image_embeddings"]) < STAGE_LIMIT
        features = model.image_features(pixels)
    for concept in case.concepts:
        t = torch.from_numpy(golden[f"{concept}/text_feature"])
        assert relative_error(similarity(features, t), golden[f"{concept}/similarity"]) < STAGE_LIMIT
        points = torch.from_numpy(golden[f"{concept}/points"]).float()
        labels = torch.from_numpy(golden[f"{concept}/point_labels"])
        got = model.predict(pixels, t, (points, labels))
        embedding = golden[f"{concept}/image_embedding"]
        assert relative_error(got.image_embedding[:, ::4, ::4, ::4], embedding) < STAGE_LIMIT
        check_mask(golden, concept, got.mask_logits[0, 0].numpy(), got.iou.item())


def check_mask(golden: Any, concept: str, logits: NDArray[np.float32], iou: float) -> None:
    expected = golden[f"{concept}/mask_logits"]
    assert relative_error(logits, expected) < LOGITS_LIMIT
    assert ((logits > 0) != (expected > 0)).mean() <= FLIPPED_LIMIT
    assert abs(iou - golden[f"{concept}/iou_prediction"].item()) < IOU_LIMIT


def check_fused(model: ReferenceModel, case: Case) -> None:
    golden = case.load()
    graphs = build_graphs(model)
    pixels = {"pixels": case.pixels()}
    made = {**graphs.clip.run(pixels), **graphs.image.run(pixels)}
    for concept in case.concepts:
        t = torch.from_numpy(golden[f"{concept}/text_feature"])
        scores = similarity(made["clip_features"][None], t)
        row = torch.stack([fusion.text_row(a, t) for a in semantic_adapters(model)], dim=1)
        grid = model.config.clip.grid
        inputs = {**made, "similarity": scores[:, 1:].reshape(1, 1, grid, grid), "text_row": row}
        embedding = graphs.concept.run(inputs)["image_embedding"]
        assert relative_error(embedding[:, ::4, ::4, ::4], golden[f"{concept}/image_embedding"]) < STAGE_LIMIT


def predict_golden(segmenter: Segmenter, case: Case, concept: str) -> tuple[NDArray[np.float32], float]:
    """Run a bundle with the golden points, which are in pixels of the squashed image."""
    golden = case.load()
    encoded = segmenter.encode(case.frame_path())
    points = golden[f"{concept}/points"][0] * (np.asarray(encoded.image.size) / 1024)
    got = encoded.predict(concept, points=points, labels=golden[f"{concept}/point_labels"][0])
    return got.logits, got.score


def check_bundle(bundle: Path, case: Case, backend: str | Backend) -> None:
    with Segmenter(bundle, backend=backend, device="cpu") as segmenter:
        for concept in case.concepts:
            check_mask(case.load(), concept, *predict_golden(segmenter, case, concept))


def check_bundle_fp16(bundle: Path, case: Case, backend: str | Backend) -> None:
    with Segmenter(bundle, backend=backend, device="cpu") as segmenter:
        for concept in case.concepts:
            logits, _ = predict_golden(segmenter, case, concept)
            mask, expected = logits > 0, case.load()[f"{concept}/mask_logits"] > 0
            assert (mask & expected).sum() / (mask | expected).sum() >= FP16_MASK_IOU


@SMALL
def test_text_features(small_model: ReferenceModel, case: Case) -> None:
    check_text(small_model, case)


@SMALL
def test_map_and_dense_prompt_from_golden_similarity(case: Case) -> None:
    golden = case.load()
    for concept in case.concepts:
        full = similarity_map(torch.from_numpy(golden[f"{concept}/similarity"])[None], 1024)
        got = dense_prompt(full, 256, 0.8, 255)[0, 0].numpy() > 0
        doubtful = np.abs(golden[f"{concept}/similarity_map_256"] - 0.8) < 1e-5
        assert (got == golden[f"{concept}/mask_prompt"])[~doubtful].all()


@pytest.mark.slow
@SMALL
def test_reference_stages(small_model: ReferenceModel, case: Case) -> None:
    check_reference(small_model, case)


@pytest.mark.parametrize("case", [TEXT_ONLY, slow(MANUAL)], ids=lambda c: c.name)
def test_fused_image_embedding(small_model: ReferenceModel, case: Case) -> None:
    check_fused(small_model, case)


@pytest.mark.slow
@SMALL
@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
@pytest.mark.filterwarnings("ignore:this model was trained")
def test_exported_masks(small_bundles: dict[str, Path], case: Case, backend: str) -> None:
    check_bundle(small_bundles["fp32"], case, backend)
    check_bundle_fp16(small_bundles["fp16"], case, backend)


@pytest.mark.slow
@SMALL
@pytest.mark.filterwarnings("ignore:this model was trained")
def test_masks_under_the_mil_evaluator(small_coreml_bundles: dict[str, Path], case: Case) -> None:
    check_bundle(small_coreml_bundles["fp32"], case, EvaluatorBackend())
    check_bundle_fp16(small_coreml_bundles["fp16"], case, EvaluatorBackend())


def test_picture_that_every_machine_has(small_model: ReferenceModel) -> None:
    """The reference agreed with upstream when these were recorded, so a clone without the frames proves the same."""
    from tests.golden import record_picture

    recorded = np.load(GOLDEN / "small_picture.npz")
    got = record_picture.compute(small_model)
    for name in recorded.files:
        assert relative_error(got[name], recorded[name]) < (LOGITS_LIMIT if "logits" in name else STAGE_LIMIT), name


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:this model was trained")
def test_vit_b_at_full_size(vit_b_checkpoint: Path, concepts_file: Path, tmp_path: Path) -> None:
    """Everything once at the real size: reference, fused, exported FP32 and FP16."""
    check_text(model := load_reference(vit_b_checkpoint), VIT_B)
    check_reference(model, VIT_B)
    check_fused(model, VIT_B)
    del model
    fp16 = export_bundle(ExportOptions(vit_b_checkpoint, concepts_file, tmp_path / "fp16.cgsam", precision="fp16"))
    assert sum(f.stat().st_size for f in fp16.rglob("*")) <= 400e6
    check_bundle_fp16(fp16, VIT_B, "onnxruntime")
    fp32 = export_bundle(ExportOptions(vit_b_checkpoint, concepts_file, tmp_path / "fp32.cgsam"))
    check_bundle(fp32, VIT_B, "onnxruntime")


@pytest.mark.slow
@pytest.mark.timeout(2400)
@pytest.mark.filterwarnings("ignore:this model was trained")
def test_vit_b_on_core_ml_at_full_size(vit_b_checkpoint: Path, concepts_file: Path, tmp_path: Path) -> None:
    """The export holds the FP32 twin to its limits; the masks of FP16 are then upstream's."""
    options = ExportOptions(
        vit_b_checkpoint, concepts_file, tmp_path / "fp16.cgsam", targets=("coreml",), precision="fp16"
    )
    check_bundle_fp16(export_bundle(options), VIT_B, EvaluatorBackend())
