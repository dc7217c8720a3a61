"""Blocks whose condition all concepts share: what they compute, what is taken, and what a new concept changes."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cgsam_edge import Segmenter
from cgsam_edge.bundle import Bundle
from cgsam_edge.cli import export_main, main
from cgsam_edge.errors import InputError
from cgsam_edge.examples import Examples
from cgsam_edge.export import fusion
from cgsam_edge.export.counting import fused_cost
from cgsam_edge.export.graphs import normalise_pixels, semantic_adapters
from cgsam_edge.export.graphs.build import build_graphs
from cgsam_edge.export.graphs.layers import quantisable
from cgsam_edge.export.options import ExportOptions
from cgsam_edge.export.pipeline import export_bundle
from cgsam_edge.export.progress import StepProgress, silent
from cgsam_edge.export.quality_options import QualityOptions
from cgsam_edge.export.reference import ReferenceModel
from cgsam_edge.export.reference.similarity import similarity
from cgsam_edge.export.sharing import Sharing, further_macs, share
from cgsam_edge.manifest import ConceptSpec
from cgsam_edge.quality.gate import unlabelled
from cgsam_edge.quality.judge import GateLimits
from cgsam_edge.quality.photos import from_folder
from cgsam_edge.quality.scenes.__main__ import write_scenes
from cgsam_edge.vocabulary import Vocabulary
from tests import tiny
from tests.conftest import slow

pytestmark = pytest.mark.filterwarnings("ignore:this model was trained")


def vocabulary(model: ReferenceModel, names: str = "abc") -> Vocabulary:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(len(names), model.config.clip.embed_dim)).astype(np.float32)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    texts = [a for a in semantic_adapters(model) if a.text_projection is not None]
    rows = [fusion.text_row(a, torch.from_numpy(features)) for a in texts]
    table = torch.stack(rows, dim=1).numpy() if rows else np.zeros((len(names), 0, 8), np.float32)
    return Vocabulary.uncalibrated([ConceptSpec(name) for name in names], features, table)


def raw_pixels(model: ReferenceModel) -> torch.Tensor:
    side = model.config.sam.image_size
    return torch.rand((1, 3, side, side), generator=torch.Generator().manual_seed(1)) * 255


@torch.inference_mode()
def reference(model: ReferenceModel, concepts: Vocabulary, index: int) -> torch.Tensor:
    pixels = normalise_pixels(raw_pixels(model))
    text = torch.from_numpy(concepts.features[index : index + 1])
    return model.encode(pixels, model.image_features(pixels), text)


@torch.inference_mode()
def fused(model: ReferenceModel, concepts: Vocabulary, index: int) -> torch.Tensor:
    graphs, grid = build_graphs(model), model.config.clip.grid
    made = {"pixels": raw_pixels(model)}
    made |= graphs.clip.run(made)
    made |= graphs.image.run(made)
    text = torch.from_numpy(concepts.features[index : index + 1])
    made["similarity"] = similarity(made["clip_features"][None], text)[:, 1:].reshape(1, 1, grid, grid)
    made["text_row"] = torch.from_numpy(concepts.rows[index : index + 1])
    return graphs.concept.run(made)["image_embedding"]


@pytest.mark.parametrize("kinds", ["psts", *map(slow, ("psss", "pvtn", "psnv", "ttvv"))])
@pytest.mark.parametrize("blocks", [0, 1, 2, 3])
def test_the_graphs_are_the_reference_model_with_shared_blocks(kinds: str, blocks: int) -> None:
    own = tiny.model(tiny.config(kinds))
    concepts = vocabulary(own)
    blocks = min(blocks, len(own.config.sam.semantic_blocks))
    shared = share(own, blocks, concepts)
    for index in (0, 2):
        expected = reference(shared, concepts, index)
        assert (fused(shared, concepts, index) - expected).abs().max() < 2e-5 * expected.std()
        same = bool((expected - reference(own, concepts, index)).abs().max() < 1e-6 * expected.std())
        assert same == (blocks == 0)
    apart = (reference(shared, concepts, 0) - reference(shared, concepts, 2)).abs().max()
    assert bool(apart == 0) == (blocks == len(own.config.sam.semantic_blocks))


def test_a_shared_block_takes_the_mean_text_and_no_similarity() -> None:
    """Of one concept in a model that takes text alone, the mean is the concept's own text; of vision nothing is."""
    only_text = tiny.model(tiny.config("pttt"))
    one = vocabulary(only_text, "a")
    torch.testing.assert_close(
        reference(share(only_text, 2, one), one, 0), reference(only_text, one, 0), rtol=0, atol=1e-5
    )
    own = tiny.model(tiny.config("psss"))
    concepts = vocabulary(own)
    adapters = list(semantic_adapters(own))
    with torch.inference_mode():
        pixels = normalise_pixels(raw_pixels(own))
        features = own.image_features(pixels)
        x = own.sam.image_encoder.patch_embed(pixels) + own.sam.image_encoder.pos_embed
        x = own.sam.image_encoder.blocks[0](x)
        block = own.sam.image_encoder.blocks[1]
        u = block.norm2(x + block.attend(x))
        mean = torch.stack([adapters[0].project_text(torch.from_numpy(f[None])) for f in concepts.features]).mean(dim=0)
        hidden = adapters[0].D_fc1(u + mean[:, None, None] + adapters[0].project_vision(features[:, 1:], u.shape[1]))
        expected = torch.nn.functional.gelu(hidden) @ adapters[0].D_fc2.weight.T + adapters[0].D_fc2.bias
        made = share(own, 1, concepts)
        x_shared = made.sam.image_encoder.blocks[1](x, made.shared_texts[None], features[:, 1:])
        got = 2 * (x_shared - x - block.attend(x) - block.mlp(u))
    assert (got - expected).abs().max() < 2e-4 * expected.std()


@pytest.mark.slow
def test_every_layer_is_in_one_graph_and_a_further_concept_costs_less() -> None:
    own = tiny.model(tiny.config("psss"))
    concepts = vocabulary(own)
    costs, layers = [], []
    for blocks in range(4):
        model = share(own, blocks, concepts)
        graphs = build_graphs(model)
        costs.append(further_macs(model))
        layers.append(sum(len(quantisable(graph)) for graph in graphs))
        cost = fused_cost(model.config)
        assert cost["image"].macs + cost["concept"].macs == pytest.approx(own_sum(own), rel=1e-9)
        assert graphs.image.inputs.keys() == ({"pixels", "vision"} if blocks else {"pixels"})
    assert costs == sorted(costs, reverse=True)
    assert len(set(costs)) == 4
    assert len(set(layers)) == 1


def own_sum(model: ReferenceModel) -> int:
    cost = fused_cost(model.config)
    return cost["image"].macs + cost["concept"].macs


def test_more_than_there_are_is_refused() -> None:
    own = tiny.model(tiny.config("pssn"))
    with pytest.raises(InputError, match="3 blocks cannot be shared: the model has 2 that depend on the concept"):
        share(own, 3, vocabulary(own))


@pytest.fixture
def sharing(tmp_path: Path) -> Any:
    """Choose for a tiny model, as an export does."""
    write_scenes(tmp_path / "scenes", 6, range(2), 96, 96)
    pictures = unlabelled(from_folder(tmp_path / "scenes" / "images", least=1))
    own = tiny.model(tiny.config("psss"))

    def choose(limits: GateLimits, blocks: Any = "auto") -> Any:
        options = ExportOptions(Path("a.pth"), Path("b.txt"), shared_blocks=blocks)
        chooser = Sharing(options, limits, pictures, vocabulary(own), tmp_path / f"work-{limits.min_iou}")
        return chooser.choose(own, StepProgress(silent, ()))

    return choose


@pytest.mark.slow
def test_auto_takes_the_most_that_pass(sharing: Any) -> None:
    model, search = sharing(GateLimits(min_iou=0.0))
    assert (search.chosen, [one.blocks for one in search.tried]) == (3, [3])
    assert model.config.sam.shared_blocks == 3
    model, search = sharing(GateLimits(min_iou=1.0))
    assert (search.chosen, [one.blocks for one in search.tried]) == (0, [3, 2, 1])
    assert model.config.sam.shared_blocks == 0
    assert search.macs == search.own_macs
    assert all(one.mean_iou < 1 and one.problems for one in search.tried)
    between = sorted(one.mean_iou for one in search.tried)
    passing = next(one.blocks for one in search.tried if one.mean_iou >= between[1])
    _, search = sharing(GateLimits(min_iou=between[1]))
    assert search.chosen == passing
    assert search.lines()[0].split()[0] == "shared"


def test_a_number_is_taken_whatever_it_costs(sharing: Any) -> None:
    model, search = sharing(GateLimits(min_iou=1.0), 2)
    assert model.config.sam.shared_blocks == search.chosen == 2
    assert "masks decided nothing" in search.conclusion


def test_auto_needs_pictures(tiny_checkpoint: Path, concepts_file: Path) -> None:
    options = ExportOptions(tiny_checkpoint, concepts_file, shared_blocks="auto")
    with pytest.raises(InputError, match="needs measurements"):
        export_bundle(options)
    with pytest.raises(InputError, match="--gate-count must not be 0"):
        export_bundle(options, QualityOptions(gate_count=0))
    with pytest.raises(InputError, match="shared blocks are a number from 0"):
        ExportOptions(tiny_checkpoint, concepts_file, shared_blocks=-1)


def logits(path: Path, backend: str) -> dict[str, Any]:
    picture = Examples.load(path / "examples.npz").picture
    with Segmenter(path, backend=backend, device="cpu") as segmenter:
        return {one.name: one.logits for one in segmenter.segment(picture, skip_absent=False).values()}


@pytest.mark.slow
def test_a_new_concept_changes_no_mask(
    tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], conversions: None
) -> None:
    """With the command line, from the export to the mask."""
    concepts, path = tmp_path / "two.txt", tmp_path / "shared.cgsam"
    concepts.write_text("car\nroad\n", encoding="utf-8")
    command = ["--checkpoint", str(tiny_checkpoint), "--concepts", str(concepts), "--output", str(path)]
    command += ["--shared-blocks", "2", "--gate-count", "2", "--allow-degraded", "--text-encoder"]
    assert export_main([*command, "--target", "onnxruntime,openvino"]) == 0
    bundle = Bundle(path)
    for target in ("onnxruntime", "openvino"):
        assert [t.name for t in bundle.graphs(target)["image"].inputs] == ["pixels", "vision"]
        assert "vision" in [t.name for t in bundle.graphs(target)["concept"].inputs]
    found = bundle.manifest.quality["sharing"]
    assert (found["chosen"], found["semantic"], found["auto"]) == (2, 3, False)
    assert bundle.manifest.created["shared_blocks"] == 2
    assert found["macs"] == sum(bundle.manifest.macs(name) or 0 for name in ("concept", "decoder")) < found["own_macs"]
    assert "Shared blocks" in (path / "report.html").read_text(encoding="utf-8")
    assert main(["info", str(path)]) == 0
    assert "shared blocks: 2 of 3, as requested; a further concept costs" in capsys.readouterr().out
    before = logits(path, "onnxruntime")
    longer = Path(shutil.copytree(path, tmp_path / "longer.cgsam"))
    assert main(["vocab", "add", str(longer), "tree", "a very different thing", "--backend", "onnxruntime"]) == 0
    after = logits(longer, "onnxruntime")
    assert set(after) - set(before) == {"tree", "a very different thing"}
    for name, values in before.items():
        np.testing.assert_array_equal(after[name] > 0, values > 0)
        np.testing.assert_allclose(after[name], values, rtol=0, atol=1e-6)  # a product of more columns rounds otherwise
