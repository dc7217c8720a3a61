"""The tables of a card are replaced by the figures of a release, and nothing else is."""

import pytest

from training.card import Figures, rewritten, tables

RUN = {"class_miou": 0.25, "pair_miou": 0.125, "concepts": {"car": 0.5, "sky": 0.0626}}
FOUND: Figures = {
    "text": RUN,
    "clicks": RUN | {"class_miou": 0.75},
    "box": RUN,
    "zoom": {"text": RUN, "clicks": RUN, "box_zoom": RUN | {"pair_miou": 0.9}},
    "ablation": {"full": RUN},
    "parity": {"pytorch": RUN, "fp16": RUN | {"mask_iou": 0.99996, "worst": 0.9}},
}


def test_tables_say_what_was_measured() -> None:
    concepts, zoom, ablation, parity = tables(FOUND)
    assert concepts.splitlines()[1:4] == [
        "|---|---|---|---|",
        "| car | 0.500 | 0.500 | 0.500 |",
        "| sky | 0.063 | 0.063 | 0.063 |",
    ]
    assert "| **class mIoU** | **0.250** | **0.750** | **0.250** |" in concepts
    assert zoom.splitlines()[-1] == "| a box, zoomed in on | 0.250 | 0.900 |"
    assert "| three clicks instead of text points | 0.750 | 0.125 |" in ablation
    assert parity.splitlines()[2:] == [
        "| pytorch | 0.2500 | 0.1250 | | |",
        "| fp16 | 0.2500 | 0.1250 | 1.0000 | 0.9000 |",
    ]


def test_a_card_keeps_its_text() -> None:
    head = [table.splitlines()[0] for table in tables(FOUND)]
    old = f"# Card\n\n{head[0]}\n|---|\n| gone |\n\nText.\n\n{head[1]}\n\n{head[2]}\n| gone |\nEnd.\n{head[3]}\n"
    first, second, third, fourth = tables(FOUND)
    assert rewritten(old, FOUND) == f"# Card\n\n{first}\n\nText.\n\n{second}\n\n{third}\nEnd.\n{fourth}\n"
    assert rewritten(rewritten(old, FOUND), FOUND) == rewritten(old, FOUND)


def test_a_card_without_a_table_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no table that begins with '\| concept \|"):
        rewritten("# Card\n", FOUND)
