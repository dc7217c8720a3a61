"""Learning what is surely absent, and what measuring says of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cgsam_edge import CheckpointError, InputError
from cgsam_edge.agreement import Overlap
from cgsam_edge.export.concepts import ConceptLine, carried
from cgsam_edge.manifest import ConceptSpec
from cgsam_edge.presence import EVIDENCE, judge
from cgsam_edge.quality.metrics import PresenceRates, Skipping, summarise
from cgsam_edge.quality.observation import Observation
from cgsam_edge.quality.pairs import LabelPair
from cgsam_edge.quality.presence_fit import fit
from cgsam_edge.quality.screening_fit import CONCEPT_SHARE, ScreeningCalibration, fit_screening
from cgsam_edge.screening import EVIDENCE_COLUMNS

NAMES = ["a", "b", "c"]


def observations(images: int, strength: float, seed: int = 1) -> list[Observation]:
    """Concepts in half of the images, told by the mask as well as by the similarity peak."""
    rng = np.random.default_rng(seed)
    made = []
    for image in range(images):
        for concept in range(len(NAMES)):
            held = bool(rng.random() < 0.5)
            values = rng.normal(size=len(EVIDENCE)).astype(np.float32)
            values[[1, 4]] += strength * held
            made.append(Observation(image, concept, values, held))
    return made


def lost_and_skipped(found: ScreeningCalibration, presence: np.ndarray, seen: list[Observation]) -> tuple[float, float]:
    """Of what is held the share that presence finds and screening rules out, and of the absent the share ruled out."""
    weights = found.table[[o.concept for o in seen]]
    inputs = np.stack([o.evidence[list(EVIDENCE_COLUMNS)] for o in seen])
    out = 1 / (1 + np.exp(-(inputs * weights[:, :2]).sum(1) - weights[:, 2])) < weights[:, 3]
    held = np.array([o.held for o in seen])
    present = np.array([judge(o.evidence, presence[o.concept])[1] for o in seen])
    return float((out & held & present).sum() / held.sum()), float(out[~held].mean())


@pytest.mark.parametrize(("strength", "least"), [(4.0, 0.8), (1.5, 0.1)])
def test_rules_out_what_it_can_afford(strength: float, least: float) -> None:
    seen, others = observations(200, strength), observations(400, strength, seed=2)
    presence = fit(seen, NAMES).table
    found = fit_screening(seen, presence)
    assert found.recall_loss <= 0.01
    assert found.skipped > least
    lost, skipped = lost_and_skipped(found, presence, others)
    assert lost < 0.02
    assert skipped == pytest.approx(found.skipped, abs=0.1)
    assert fit_screening(seen, presence, 0.05).skipped > found.skipped
    assert fit_screening(seen, presence, 0).recall_loss == 0


def test_no_concept_pays_for_the_others() -> None:
    seen = [o for o in observations(200, 2.5) if o.concept != 2 or o.image < 40]
    presence = fit(seen, NAMES).table
    found = fit_screening(seen, presence, 0.05)
    for concept in range(3):
        own = [o for o in seen if o.concept == concept]
        assert lost_and_skipped(found, presence, own)[0] <= CONCEPT_SHARE * 0.05 + 0.02  # fitted to all images here


def test_concepts_without_enough_images_are_never_ruled_out() -> None:
    seen = [o for o in observations(60, 3.0) if o.concept != 1 or o.held]
    found = fit_screening(seen, fit(seen, NAMES).table)
    assert np.isfinite(found.table).all(axis=1).tolist() == [True, False, True]


@pytest.mark.parametrize("loss", [-0.1, 1, float("nan")])
def test_losses_that_cannot_be(loss: float) -> None:
    seen = observations(40, 3.0)
    with pytest.raises(InputError, match="must be from 0 to below 1"):
        fit_screening(seen, fit(seen, NAMES).table, loss)


def test_what_skipping_changes_by_hand() -> None:
    path = Path("a.png")
    pairs = [
        LabelPair(path, "car", 400, Overlap(200, 400), 0.5, 0.9, present=True, ruled_out=True),  # held, found and lost
        LabelPair(path, "car", 400, Overlap(400, 400), 0.5, 0.9, present=True, ruled_out=False),
        LabelPair(path, "car", 0, Overlap(0, 50), 0.5, 0.9, present=True, ruled_out=True),  # a false alarm less
        LabelPair(path, "sky", 400, Overlap(100, 400), 0.5, 0.9),  # of which nothing is known
    ]
    got = summarise("text", 4, ["car", "sky"], pairs)
    assert got.class_miou == pytest.approx((600 / 800 + 100 / 400) / 2)
    assert got.presence == PresenceRates(2 / 3, 1.0)
    assert got.skipping == Skipping(0.5, (400 / 800 + 100 / 400) / 2, PresenceRates(1.0, 0.5))
    assert summarise("text", 1, ["sky"], pairs[3:]).skipping is None


def test_checkpoints_carry_both_calibrations() -> None:
    lines = [ConceptLine(1, ConceptSpec("Car", ())), ConceptLine(2, ConceptSpec("sky", ()))]
    got = carried(Path("x"), {"screening": '{"car": [1, 2, 3, 0.5]}'}, lines)
    assert got["screening"][0].tolist() == [1, 2, 3, 0.5]
    assert np.isnan(got["screening"][1]).all()
    assert got["presence"].shape == (2, 9)
    with pytest.raises(CheckpointError, match="its metadata 'screening' should map names to 4 numbers"):
        carried(Path("x"), {"screening": '{"car": [1, 2]}'}, lines)
