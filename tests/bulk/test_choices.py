"""Parts of a data set by name, and the range that a person looks at."""

from __future__ import annotations

from collections import Counter

import pytest

from cgsam_edge.bulk.choices import Review, Split
from cgsam_edge.errors import InputError


def test_shares_are_met_on_average() -> None:
    split = Split.parse("80/10/10")
    counts = Counter(split.of(f"camera/{i:05d}.jpg") for i in range(10_000))
    assert counts["train"] == pytest.approx(8000, abs=160)  # four standard deviations
    assert counts["val"] == pytest.approx(1000, abs=120)
    assert set(counts) == {"train", "val", "test"}


def test_a_name_alone_decides() -> None:
    """By sha256sum: a.jpg lies at 31 %, b.jpg at 48 %, c.jpg at 57 %, d.jpg at 33 % and e.jpg at 11 %."""
    split = Split.parse("32/20/48")
    assert [split.of(f"{name}.jpg") for name in "abcde"] == ["train", "val", "test", "val", "train"]


@pytest.mark.parametrize(("text", "only"), [("100/0/0", "train"), ("0/100", "val"), ("0/0/100", "test")])
def test_an_empty_part_gets_nothing(text: str, only: str) -> None:
    assert {Split.parse(text).of(f"{i}.jpg") for i in range(300)} == {only}


@pytest.mark.parametrize("text", ["80", "80/30", "80/10/5/5", "a/b", "-10/110", "", "80-20"])
def test_shares_that_are_none(text: str) -> None:
    with pytest.raises(InputError, match="as 80/10/10"):
        Split.parse(text)


def test_unsure_concepts_lie_in_the_range() -> None:
    review = Review.parse("0.3-0.7")
    found = review.unsure({"car": 0.3, "road": 0.99, "sky": 0.7, "tree": 0.29, "pole": 0.5})
    assert found == {"car": 0.3, "sky": 0.7, "pole": 0.5}


@pytest.mark.parametrize("text", ["0.7-0.3", "0.3", "0.3-1.2", "a-b", "0.1-0.2-0.3", "-0.1-0.5"])
def test_ranges_that_are_none(text: str) -> None:
    with pytest.raises(InputError, match=r"as 0\.3-0\.7"):
        Review.parse(text)
