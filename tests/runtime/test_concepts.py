"""Many concepts in one image: the likeliest first, limits, what is ruled out in advance, what is kept."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from cgsam_edge import BundleError, InputError, Segmenter, UnknownConceptError
from cgsam_edge.bundle import Bundle
from cgsam_edge.cli import main
from cgsam_edge.limits import Limits
from cgsam_edge.lru import ArrayCache
from cgsam_edge.results import ABSENT_LOGIT
from cgsam_edge.revise import remove_concepts, with_vocabulary
from cgsam_edge.runtimes.protocol import Session, SessionFacts
from cgsam_edge.screening import COLUMNS, Screened, products_on_one_thread
from cgsam_edge.vocabulary import Vocabulary

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cgsam_edge.runtimes.protocol import Arrays

pytestmark = pytest.mark.filterwarnings("ignore:this model was trained")

NEVER = 0.0
"""A threshold that no chance is below."""


class Counted:
    """A session that counts its runs."""

    def __init__(self, session: Session) -> None:
        self._session, self.runs = session, 0

    def run(self, inputs: Arrays) -> dict[str, NDArray[np.float32]]:
        self.runs += 1
        return self._session.run(inputs)

    def facts(self) -> SessionFacts:
        return self._session.facts()

    def close(self) -> None:
        self._session.close()


def counted(segmenter: Segmenter, graph: str) -> Counted:
    session = Counted(segmenter._model.sessions[graph])
    segmenter._model.sessions[graph] = session
    return session


def with_screening(bundle: Path, table: np.ndarray, output: Path) -> Path:
    opened = Bundle(bundle)
    return with_vocabulary(opened, dataclasses.replace(opened.vocabulary, screening=table), output)


def screening(chances: list[float], thresholds: list[float]) -> np.ndarray:
    """A table in which the chances are fixed."""
    table = np.zeros((len(chances), COLUMNS), np.float32)
    table[:, -2] = [math.log(chance / (1 - chance)) for chance in chances]
    table[:, -1] = thresholds
    return table


@pytest.fixture
def screened(tiny_bundle: Path, tmp_path: Path) -> Iterator[Segmenter]:
    """Car is ruled out; building is likelier than tree, and tree likelier than road."""
    table = screening([0.1, 0.3, 0.6, 0.9], [0.2, NEVER, NEVER, 0.2])
    with Segmenter(with_screening(tiny_bundle, table, tmp_path / "screened.cgsam")) as segmenter:
        yield segmenter


def test_cheap_evidence_is_of_what_presence_is_judged_by(tiny_segmenter: Segmenter, picture: Image.Image) -> None:
    encoded = tiny_segmenter.encode(picture)
    for i, one in enumerate(encoded.segment().values()):
        np.testing.assert_allclose(encoded._decoder.screened.evidence[i], one.evidence[[4, 6]], rtol=1e-4, atol=1e-6)


def test_screening_by_hand() -> None:
    features = np.array([[3, 4], [1, 0], [0, 2]], np.float32)
    text = np.array([[1, 0], [0, 1], [0, 1]], np.float32)
    table = np.array([[1, 0, -1, 0.6], [0, 1, 0.2, 0.7], [np.nan] * 4], np.float32)
    got = Screened.of(features, text, table)
    np.testing.assert_allclose(got.evidence, [[1, 0.6], [2, 0.8], [2, 0.8]], rtol=1e-6)
    np.testing.assert_allclose(got.chances[:2], [0.5, 1 / (1 + math.exp(-1))], rtol=1e-6)
    assert got.ruled_out.tolist() == [True, False, False]
    assert got.likeliest_first([0, 1]) == [1, 0]
    assert got.likeliest_first([0, 2, 1]) == [2, 1, 0]  # by the peak, and equals in the order asked


def test_a_concept_that_is_ruled_out(screened: Segmenter, tiny_segmenter: Segmenter, picture: Image.Image) -> None:
    concept, decoder = counted(screened, "concept"), counted(screened, "decoder")
    result, plain = screened.segment(picture), tiny_segmenter.segment(picture)
    assert (concept.runs, decoder.runs) == (3, 3)
    assert tuple(result) == tuple(plain) == screened.concepts
    assert [one.skipped for one in result.values()] == [True, False, False, False]
    for name in ("road", "tree", "building"):
        np.testing.assert_array_equal(result[name].logits, plain[name].logits)
    car = result["car"]
    assert (car.present, car.score, car.bounding_box()) == (False, 0, None)
    assert car.presence == pytest.approx(0.1)
    assert (car.logits == ABSENT_LOGIT).all()
    assert car.logits.shape == plain["car"].logits.shape
    assert car.mask.shape == (picture.height, picture.width)
    assert not car.mask.any()
    np.testing.assert_allclose(car.similarity, plain["car"].similarity, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(car.evidence, [0, 0, 0.5, 0, *plain["car"].evidence[4:]], rtol=1e-4, atol=1e-6)


def test_a_skipped_concept_is_safe_wherever_results_go(screened: Segmenter, picture: Image.Image) -> None:
    result = screened.segment(picture)
    assert 0 not in result.label_map()
    assert result.overlay().height == picture.height
    entry = json.loads(json.dumps(result.to_coco()))[0]
    assert (entry["skipped"], entry["present"], entry["area"], entry["bbox"]) == (True, False, 0, [0, 0, 0, 0])
    assert result["car"].rle()["size"] == [picture.height, picture.width]


def test_everything_can_be_computed(screened: Segmenter, tiny_segmenter: Segmenter, picture: Image.Image) -> None:
    encoded = screened.encode(picture)
    assert encoded.ruled_out() == ("car",)
    assert encoded.ruled_out("road") == ()
    expected = tiny_segmenter.segment(picture, "car")["car"].logits
    for one in (
        encoded.segment("car", skip_absent=False)["car"],
        screened.segment(picture, "car", skip_absent=False)["car"],
        next(encoded.stream("car", skip_absent=False)),
        encoded.predict("car"),  # who names one concept gets its mask
    ):
        np.testing.assert_array_equal(one.logits, expected)
        assert not one.skipped


def test_nothing_is_ruled_out_where_nothing_was_calibrated(tiny_segmenter: Segmenter, picture: Image.Image) -> None:
    encoded = tiny_segmenter.encode(picture)
    assert encoded.ruled_out() == ()
    peaks = encoded.peaks()
    order = [tiny_segmenter.concepts.index(one.name) for one in encoded.stream()]
    assert order == np.argsort(-peaks, kind="stable").tolist()


def test_results_come_one_by_one_the_likeliest_first(screened: Segmenter, picture: Image.Image) -> None:
    encoded, decoder = screened.encode(picture), counted(screened, "decoder")
    stream = encoded.stream()
    assert decoder.runs == 0
    assert next(stream).name == "building"
    assert decoder.runs == 1
    rest = list(stream)
    assert [one.name for one in rest] == ["tree", "road", "car"]
    assert rest[-1].skipped
    direct = encoded.segment()
    for one in rest:
        np.testing.assert_array_equal(one.logits, direct[one.name].logits)


def test_the_most_concepts(screened: Segmenter, picture: Image.Image) -> None:
    result = screened.segment(picture, ["road", "car", "shrub", "building"], max_concepts=2)
    assert list(result) == ["car", "tree", "building"]  # in the order asked; what costs nothing does not count
    assert result.left_out == {"road": "max_concepts"}
    with pytest.raises(UnknownConceptError, match="cut short by max_concepts, the result has no concept 'road'"):
        result["road"]
    assert [one.name for one in screened.encode(picture).stream(max_concepts=1)] == ["building", "car"]
    assert screened.segment(picture, max_concepts=9).left_out == {}


def test_no_concept_is_begun_when_the_time_is_over(screened: Segmenter, picture: Image.Image) -> None:
    decoder = counted(screened, "decoder")
    result = screened.segment(picture, time_budget=1e-9, skip_absent=False)
    assert list(result) == ["building"]
    assert decoder.runs == 1
    assert result.left_out == dict.fromkeys(("car", "road", "tree"), "time_budget")
    both = screened.segment(picture, max_concepts=2, time_budget=1e-9)
    assert list(both) == ["car", "building"]
    assert both.left_out == {"road": "max_concepts", "tree": "time_budget"}
    assert screened.segment(picture, time_budget=math.inf).left_out == {}
    assert screened.segment(picture, [], time_budget=1e-9).left_out == {}


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"max_concepts": 0}, "max_concepts must be a whole number, 1 or more, or None, got 0"),
        ({"max_concepts": -1}, "got -1"),
        ({"max_concepts": 1.5}, r"got 1\.5"),
        ({"max_concepts": True}, "got True"),
        ({"max_concepts": math.nan}, "got nan"),
        ({"time_budget": 0}, "time_budget must be seconds, above 0, or None, got 0"),
        ({"time_budget": -0.1}, r"got -0\.1"),
        ({"time_budget": math.nan}, "got nan"),
        ({"time_budget": "soon"}, "got 'soon'"),
    ],
)
def test_limits_that_are_none(
    tiny_segmenter: Segmenter, picture: Image.Image, limits: dict[str, Any], message: str
) -> None:
    encoded = tiny_segmenter.encode(picture)
    for call in (
        lambda: tiny_segmenter.segment("no such image", **limits),  # refused before the work
        lambda: encoded.segment(**limits),
        lambda: encoded.stream(**limits),  # when it is called, not when it is used
    ):
        with pytest.raises(InputError, match=message):
            call()


def test_numbers_of_numpy_are_limits() -> None:
    assert Limits(np.int64(3), np.float32(0.5)).max_concepts == 3


@pytest.mark.parametrize(("kept", "names", "runs"), [(2, "car road car", 2), (1, "car road car", 3), (0, "car car", 2)])
def test_a_click_on_a_kept_embedding_costs_only_the_decoder(
    tiny_bundle: Path, picture: Image.Image, kept: int, names: str, runs: int
) -> None:
    one = 32 * 8 * 8 * 4
    with Segmenter(tiny_bundle, cache_bytes=kept * one) as segmenter:
        encoded, concept = segmenter.encode(picture), counted(segmenter, "concept")
        for name in names.split():
            encoded.predict(name, points=[[10, 10]])
    assert concept.runs == runs


def test_arrays_are_kept_by_their_bytes() -> None:
    cache = ArrayCache(100)
    arrays = [np.zeros(size, np.float32) for size in (10, 10, 5, 30)]
    for key, array in enumerate(arrays[:2]):
        cache.put(key, array)
    assert cache.get(0) is arrays[0]
    cache.put(2, arrays[2])
    assert len(cache) == 3
    cache.put(2, arrays[1])
    assert (cache.get(1), len(cache)) == (None, 2)  # 1 was used longest ago
    cache.put(3, arrays[3])
    assert (cache.get(3), len(cache)) == (None, 0)  # too large by itself


@pytest.mark.parametrize("limit", [-1, 1.5, True, math.nan])
def test_a_cache_of_a_bad_size(tiny_bundle: Path, limit: float) -> None:
    with pytest.raises(InputError, match="cache_bytes must be a whole number of bytes, 0 or more"):
        Segmenter(tiny_bundle, cache_bytes=limit)  # type: ignore[arg-type]


def test_vocabularies_with_and_without_screening(tiny_bundle: Path, tmp_path: Path) -> None:
    table = screening([0.1, 0.2, 0.3, 0.4], [0.5] * 4)
    bundle = with_screening(tiny_bundle, table, tmp_path / "a.cgsam")
    np.testing.assert_array_equal(Bundle(bundle).vocabulary.screening, table)
    np.testing.assert_array_equal(Bundle(remove_concepts(bundle, ["road"])).vocabulary.screening, table[[0, 2, 3]])
    vocabulary = Bundle(tiny_bundle).vocabulary
    np.savez(tmp_path / "old.npz", features=vocabulary.features, rows=vocabulary.rows, presence=vocabulary.presence)
    assert np.isnan(Vocabulary.load(tmp_path / "old.npz", vocabulary.concepts).screening).all()
    with pytest.raises(BundleError, match="'screening' must have 4 columns, got 3"):
        dataclasses.replace(vocabulary, screening=np.zeros((4, 3), np.float32))


def test_limits_on_the_command_line(
    tiny_bundle: Path, picture_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = screening([0.1, 0.3, 0.6, 0.9], [0.2, NEVER, NEVER, NEVER])
    bundle = with_screening(tiny_bundle, table, tmp_path / "b.cgsam")
    command = ["segment", str(picture_file), "--bundle", str(bundle), "--output", str(tmp_path)]
    assert main([*command, "--max-concepts", "2"]) == 0
    said = capsys.readouterr().out
    assert "car absent (skipped)" in said
    assert "road left out (max_concepts)" in said
    document = json.loads((tmp_path / f"{picture_file.stem}.json").read_text())
    assert document["left_out"] == {"road": "max_concepts"}
    assert [entry["skipped"] for entry in document["annotations"]] == [True, False, False]
    assert main([*command, "--no-skip-absent", "--time-budget", "1e-9"]) == 0
    document = json.loads((tmp_path / f"{picture_file.stem}.json").read_text())
    assert [entry["category"] for entry in document["annotations"]] == ["building"]


@pytest.mark.parametrize(
    ("patches", "concepts", "width"), [(1025, 11, 512), (1025, 200, 512), (65, 1, 64), (5, 3, 9000)]
)
def test_products_in_pieces_are_those_in_one(patches: int, concepts: int, width: int) -> None:
    rng = np.random.default_rng(0)
    features = rng.standard_normal((patches, width)).astype(np.float32)
    text = rng.standard_normal((concepts, width)).astype(np.float32)
    found = products_on_one_thread(features, text)
    assert found.shape == (patches, concepts)
    assert found.dtype == np.float32
    assert np.abs(found - features.astype(np.float64) @ text.T).max() < 1e-4 * np.sqrt(width)
