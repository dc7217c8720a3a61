"""The training stand-in: a few steps on a tiny model, what they leave, and the small parts around them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch.utils.flop_counter import FlopCounterMode

from cgsam_edge.export.loading import load_reference
from training.__main__ import RECIPES, interrupted
from training.augment import cut
from training.average import Average
from training.cache import Labelled, Rendering, rendered
from training.data import Pictures, Sampler, Source
from training.evaluate import masks
from training.losses import mask_loss
from training.model import encode, features, initialise, small_config
from training.objective import EASY, Pairs
from training.schedule import Schedule
from training.state import load_start, load_state, save_state, write_checkpoint
from training.text import train_text, vocabulary
from training.train import Run, Trainer

SIZE = 128


def sampler_of(data: Labelled, seed: int) -> Sampler:
    """A sampler of all pictures of a set."""
    return Sampler([Source(Pictures.of(data, torch.device("cpu")))], SIZE, seed)


def tiny_trainer(folder: Path, data: Labelled, steps: tuple[int, ...]) -> Trainer:
    """A trainer of a tiny model on a few pictures."""
    torch.set_num_threads(2)
    model = initialise(small_config(SIZE, width=64, blocks=3, semantic=1), seed=0)
    schedule = Schedule((0.25, 0.15, 0.2, 0.4), steps=steps)
    run = Run(sampler_of(data, 0), data, schedule, folder / "x.state")
    return Trainer(model, run)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Labelled:
    """A few rendered scenes."""
    return rendered(tmp_path_factory.mktemp("cache"), seed=0, count=4, size=SIZE, workers=1)


@pytest.fixture(scope="module")
def trained(data: Labelled, tmp_path_factory: pytest.TempPathFactory) -> Trainer:
    """A tiny model after a few steps of each stage."""
    trainer = tiny_trainer(tmp_path_factory.mktemp("run"), data, (12, 6, 6, 12))
    trainer.train()
    return trainer


def test_losses_fall(trained: Trainer) -> None:
    assert trained.taken == {"coarse": 12, "dense": 6, "half": 6, "joint": 12}
    assert np.isfinite(trained.losses).all()
    assert np.mean(trained.losses[14:18]) < np.mean(trained.losses[:4])
    assert np.mean(trained.losses[-4:]) < np.mean(trained.losses[18:22])
    assert trained.model.sam.prompt_encoder.input_image_size == (SIZE, SIZE)


def test_only_text_teaches_that_a_concept_is_absent(trained: Trainer) -> None:
    objective, n = trained.objective, 2
    config = trained.model.config
    pairs = Pairs(
        embedding=torch.randn(n, config.sam.prompt_width, SIZE // 16, SIZE // 16),
        maps=torch.rand(n, 1, SIZE, SIZE),
        labels=torch.zeros(n, SIZE, SIZE, dtype=torch.long),
        concepts=torch.tensor([4, 7]),
        present=torch.zeros(n, dtype=torch.bool),
    )
    weight = trained.model.sam.mask_decoder.output_upscaling[0].weight
    losses = objective.masks(pairs, torch.Generator().manual_seed(0), np.random.default_rng(0))
    taught = {
        kind: torch.autograd.grad(loss, weight, retain_graph=True)[0].abs().max().item()
        for kind, loss in losses.items()
    }
    assert len(taught) == 3
    assert taught.pop("text") > 0
    assert set(taught.values()) == {0}


def test_corrections_count_by_how_wrong_the_mask_from_text_is(
    trained: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, seen = trained.model.config, []
    compute = mask_loss

    def recorded(*given: Any) -> torch.Tensor:
        seen.append(given[4] if len(given) > 4 else None)
        return compute(*given)

    monkeypatch.setattr("training.objective.mask_loss", recorded)
    monkeypatch.setattr("training.objective.mask_iou", lambda *_: torch.tensor([1.0, 0.0]))  # one is right, one wrong
    pairs = Pairs(
        embedding=torch.randn(2, config.sam.prompt_width, SIZE // 16, SIZE // 16),
        maps=torch.rand(2, 1, SIZE, SIZE),
        labels=torch.full((2, SIZE, SIZE), 4),
        concepts=torch.tensor([4, 4]),
        present=torch.ones(2, dtype=torch.bool),
    )
    trained.objective.masks(pairs, torch.Generator().manual_seed(0), np.random.default_rng(0))
    text, corrections, other = seen
    assert (text, other) == (None, None)
    assert corrections is not None
    assert corrections.tolist() == pytest.approx([EASY / (EASY + 0.5), (1 + EASY) / (EASY + 0.5)])


def test_checkpoint_has_upstreams_layout(trained: Trainer, tmp_path: Path) -> None:
    path = tmp_path / "tiny.safetensors"
    write_checkpoint(path, trained.model, {"trained_for": "text,clicks", "norm_dim": 1})
    with safe_open(path, "pt") as file:
        keys = set(file.keys())
        assert file.metadata() == {"trained_for": '"text,clicks"', "norm_dim": "1"}
        assert {file.get_tensor(key).dtype for key in keys} == {torch.float16}
    surgery, ordinary = (
        "clip_model.visual.transformer.resblocks.1.attn.",
        "clip_model.visual.transformer.resblocks.0.attn.",
    )
    assert {
        f"{surgery}qkv.weight",
        f"{surgery}proj.bias",
        f"{ordinary}in_proj_weight",
        "clip_model.visual.attn.qkv.bias",
    } <= keys
    assert f"{surgery}in_proj_weight" not in keys
    semantic = "model_state_dict.image_encoder.blocks.2.MLP_Adapter."
    assert {f"{semantic}text_projection.weight", f"{semantic}vis_projection.weight"} <= keys
    assert all(key.startswith(("model_state_dict.", "clip_model.")) for key in keys)


def test_exporter_reads_the_checkpoint(trained: Trainer, tmp_path: Path) -> None:
    path = tmp_path / "tiny.safetensors"
    write_checkpoint(path, trained.model, {})
    reference = load_reference(path)
    assert reference.config.sam.semantic_blocks == (2,)
    assert reference.config.sam.image_size == SIZE
    kept = trained.model.sam.image_encoder.pos_embed.half().float()
    assert torch.equal(reference.sam.image_encoder.pos_embed, kept)


def test_another_run_starts_from_a_checkpoint(trained: Trainer, data: Labelled, tmp_path: Path) -> None:
    path = tmp_path / "tiny.safetensors"
    write_checkpoint(path, trained.model, {}, trained.heads())
    again = tiny_trainer(tmp_path, data, (12, 6, 6, 12))
    again.resume(load_start(path), weights_only=True)
    assert again.step == 0
    kept = trained.heads()
    assert all(torch.equal(value, kept[name].half().float()) for name, value in again.heads().items())
    assert torch.equal(
        again.model.sam.image_encoder.pos_embed, trained.model.sam.image_encoder.pos_embed.half().float()
    )


def test_resumes_where_it_stopped(trained: Trainer, data: Labelled, tmp_path: Path) -> None:
    again = tiny_trainer(tmp_path, data, (12, 6, 6, 12))
    again.resume(load_state(trained.run.state), weights_only=False)
    assert again.taken == trained.taken
    assert again.run.schedule.progress(again.taken) == pytest.approx(1.0)
    assert torch.equal(again.model.sam.image_encoder.pos_embed, trained.model.sam.image_encoder.pos_embed)


def test_scenes_that_were_rendered_meanwhile_join_the_sampler(data: Labelled, tmp_path: Path) -> None:
    rendering = Rendering(tmp_path, 0, 4, SIZE, workers=1)
    rendering.wait(4)
    rendering.stop()
    pictures = Pictures(4, SIZE, SIZE, torch.device("cpu"))
    pictures.add(data.images[:1], data.labels[:1])
    run = Run(
        Sampler([Source(pictures)], SIZE, 0),
        data,
        Schedule((0, 0, 0, 1.0), steps=(0, 0, 0, 1)),
        tmp_path / "x",
        rendering=rendering,
    )
    trainer = Trainer(initialise(small_config(SIZE, width=64, blocks=3, semantic=1), seed=0), run)
    trainer.draw(0, "joint")
    assert len(pictures) == 4
    assert np.array_equal(pictures.images.permute(0, 2, 3, 1).numpy(), data.images)
    assert np.array_equal(pictures.labels.numpy(), data.labels)


def test_pictures_are_copied_in_parts_up_to_the_room(data: Labelled, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.data.AT_ONCE", 2)
    pictures = Pictures(len(data) - 1, SIZE, SIZE, torch.device("cpu"))
    pictures.add(data.images[:3], data.labels[:3])
    pictures.add(data.images[3:], data.labels[3:])
    assert len(pictures) == len(data) - 1
    assert np.array_equal(pictures.images.permute(0, 2, 3, 1).numpy(), data.images[:-1])
    assert np.array_equal(pictures.labels.numpy(), data.labels[:-1])


def test_the_tiny_model_is_tiny() -> None:
    """One concept in one picture costs less than a billion multiply-adds."""
    model = initialise(RECIPES["tiny"].config, 0).eval()
    side, words = model.config.sam.image_size, vocabulary(model)
    with FlopCounterMode(display=False) as counter:
        masks(model, words, np.zeros((side, side, 3), np.uint8), np.array([1]), 0)
    assert 0.5e9 < counter.get_total_flops() / 2 < 1e9


def test_a_state_is_taken_by_a_run_of_the_same_options_alone(tmp_path: Path) -> None:
    path, origin = tmp_path / "scenes.state", {"recipe": "scenes", "init": "a.safetensors", "seed": "0"}
    assert interrupted(path, origin) is None
    save_state(path, {"origin": origin, "progress": 0.4})
    found = interrupted(path, origin)
    assert found is not None
    assert found["progress"] == 0.4
    with pytest.raises(SystemExit, match=r"scenes\.state: the state of another run \(init a\.safetensors, now b"):
        interrupted(path, {**origin, "init": "b.safetensors"})
    save_state(path, {"origin": origin, "progress": 1.0})
    with pytest.raises(SystemExit, match="that run has ended"):
        interrupted(path, origin)


def test_a_window_without_changes_is_the_picture(data: Labelled) -> None:
    pictures = Pictures.of(data, torch.device("cpu"))
    whole = torch.tensor([[[1.0, 0, 0], [0, 1.0, 0]]]).expand(4, -1, -1)
    pixels, labels = cut(pictures.images, pictures.labels, whole, SIZE)
    assert torch.allclose(pixels, pictures.images / 255, atol=1e-5)
    assert torch.equal(labels, pictures.labels.long())
    mirrored, _ = cut(pictures.images, pictures.labels, whole * torch.tensor([-1.0, 1, 1]), SIZE)
    assert torch.allclose(mirrored, pictures.images.flip(3) / 255, atol=1e-5)


def test_the_average_is_swapped_in_and_out() -> None:
    layer = torch.nn.Linear(1, 1, bias=False)
    average = Average(layer, decay=0.5)
    with torch.no_grad():
        layer.weight.fill_(4.0)
    average.restart()
    with torch.no_grad():
        layer.weight.fill_(8.0)
    average.update()
    with average.in_place():
        assert layer.weight.item() == pytest.approx(0.1 * 4 + 0.9 * 8)
    assert layer.weight.item() == 8.0


def test_batches_depend_on_the_step_alone(data: Labelled) -> None:
    first, again = sampler_of(data, 3), sampler_of(data, 3)
    first.batch(0, 2)
    assert torch.equal(first.batch(5, 2).pixels, again.batch(5, 2).pixels)
    assert not torch.equal(first.batch(5, 2).pixels, first.batch(6, 2).pixels)


def test_a_blind_pair_goes_by_the_text_alone() -> None:
    model = initialise(small_config(SIZE, width=64, blocks=3, semantic=1), seed=0).eval()
    generator = torch.Generator().manual_seed(0)
    tokens, text = torch.randn(2, 8, 8, 64, generator=generator), torch.randn(2, 128, generator=generator)
    one, other = (torch.randn(2, 17, 128, generator=generator) for _ in range(2))
    seen = torch.tensor([0.0, 1.0])
    with torch.no_grad():
        a, b = (encode(model, tokens, found, text, seen) for found in (one, other))
        c = encode(model, tokens, one, -text, seen)
    assert torch.equal(a[0], b[0])
    assert not torch.allclose(a[1], b[1])
    assert not torch.allclose(a[0], c[0])


def test_features_of_smaller_pictures_are_on_a_smaller_grid() -> None:
    model = initialise(small_config(SIZE, width=64, blocks=3, semantic=1), seed=0).eval()
    pixels = torch.randn(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(features(model, pixels), model.image_features(pixels))
        assert features(model, pixels[..., : SIZE // 2, : SIZE // 2]).shape == (1, 1 + 4, 128)


@pytest.mark.slow
def test_names_become_orthogonal() -> None:
    model = initialise(small_config(SIZE, width=64, blocks=3, semantic=1), seed=0)
    losses = train_text(model, 12, seed=0)
    assert losses[-1] < 0.7 * losses[0]
