"""Pictures for calibration and for the gate."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from cgsam_edge.cli import export_main
from cgsam_edge.errors import InputError
from cgsam_edge.export.photo_sets import choose_photos
from cgsam_edge.export.quality_options import QualityOptions
from cgsam_edge.quality.photos import GATE_SERIES, from_folder, rendered
from cgsam_edge.written_files import png_mark


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(12):
        Image.new("RGB", (40 + i, 30), (i * 20, 90, 40)).save(folder / f"{i:02}.png")
    return folder


def test_unreadable_photos_are_skipped_and_named(photos: Path) -> None:
    (photos / "03.png").write_bytes(b"no picture")
    (photos / "notes.txt").write_text("not asked for")
    found = from_folder(photos)
    assert len(found.paths) == 11
    assert len(found.skipped) == 1
    assert "03.png" in found.skipped[0]


def test_hidden_files_overlays_and_labels_are_no_photos(photos: Path) -> None:
    (photos / "._00.png").write_bytes(b"\0\5\x16\7")
    Image.new("RGB", (40, 30)).save(photos / "00.overlay.png", pnginfo=png_mark())
    Image.new("RGB", (40, 30)).save(photos / "street.jpg")
    Image.new("L", (40, 30)).save(photos / "street.png")
    Image.new("RGB", (40, 30)).save(photos / "lane.jpg")
    Image.new("RGB", (40, 30)).save(photos / "lane.png")
    found = from_folder(photos)
    assert len(found.paths) == 15
    assert [line.split(": ")[0] for line in found.skipped] == [str(photos / "street.png")]
    assert "looks like the label" in found.skipped[0]
    Image.new("RGB", (40, 30)).save(photos / "99.png", pnginfo=png_mark())
    Image.new("RGB", (40, 30)).save(photos / "house.overlay.png")
    found = from_folder(photos)
    assert photos / "house.overlay.png" in found.paths, "a user's own picture"
    assert len(found.paths) == 16
    assert found.skipped[1:] == (f"{photos / '99.png'}: cgsam drew it, from another picture.",)


@pytest.mark.slow
def test_a_photo_that_cannot_be_used_is_named_and_the_export_done(
    photos: Path, tiny_checkpoint: Path, concepts_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / "03.png").write_bytes(b"no picture")
    command = ["--checkpoint", str(tiny_checkpoint), "--concepts", str(concepts_file), "--gate-images", str(photos)]
    assert export_main([*command, "--gate-count", "2", "--output", str(tmp_path / "out.cgsam")]) == 3
    assert (tmp_path / "out.cgsam" / "manifest.json").is_file()
    assert f"warning: skipped {photos / '03.png'}: not an image" in capsys.readouterr().err


def test_too_few_photos_are_refused_with_the_reasons(photos: Path) -> None:
    for i in range(6):
        (photos / f"{i:02}.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"usable photos: 6; at least 8 are needed[\s\S]*skipped .*00\.png"):
        from_folder(photos)


def test_what_is_set_aside_takes_no_part_in_calibration(photos: Path, tmp_path: Path) -> None:
    options = QualityOptions(calibration=photos, calibration_count=8)
    chosen = choose_photos(options, tmp_path, 64, calibrate=True)
    gate = {image.path for image in chosen.gate}
    assert len(gate) == 3  # a quarter
    assert not gate & set(chosen.calibration.paths)
    assert len(chosen.calibration.paths) == 8
    assert [image.path for image in choose_photos(options, tmp_path, 64, calibrate=True).gate] == sorted(gate)


def test_without_a_gate_all_photos_calibrate(photos: Path, tmp_path: Path) -> None:
    options = QualityOptions(calibration=photos, gate_count=0)
    chosen = choose_photos(options, tmp_path, 64, calibrate=True)
    assert {*chosen.calibration.paths} == {*from_folder(photos).paths}
    assert chosen.gate == ()


def test_photos_that_nothing_is_calibrated_on_are_mentioned(photos: Path, tmp_path: Path) -> None:
    chosen = choose_photos(QualityOptions(calibration=photos, gate_count=1), tmp_path, 64, calibrate=False)
    assert not chosen.calibration.paths
    assert any("is not used: no graph is in INT8 or four bits" in note for note in chosen.notes)


def test_without_photos_scenes_are_rendered_and_it_is_said(tmp_path: Path) -> None:
    chosen = choose_photos(QualityOptions(calibration_count=9, gate_count=2), tmp_path, 64, calibrate=True)
    assert len(chosen.calibration.paths) == 9
    assert len(chosen.gate) == 2
    assert any("photos like those that the device will see would be better" in note for note in chosen.notes)
    again = rendered(tmp_path / "again", GATE_SERIES, 2, 64)
    assert [p.read_bytes() for p in again.paths] == [image.path.read_bytes() for image in chosen.gate]


@pytest.mark.parametrize("inside", ["", "some"])
def test_the_evaluation_folder_is_not_the_calibration_folder(photos: Path, inside: str) -> None:
    (photos / "some").mkdir()
    with pytest.raises(InputError, match="must not be calibration pictures"):
        QualityOptions(calibration=photos, gate_images=photos / inside)


def test_labels_of_the_gate_are_read(tmp_path: Path) -> None:
    from cgsam_edge.quality.scenes.__main__ import write_scenes

    write_scenes(tmp_path / "gate", 5, range(4), 64, 64)
    folder = tmp_path / "gate"
    options = QualityOptions(
        gate_images=folder / "images", gate_labels=folder / "labels", gate_classes=folder / "classes.txt", gate_count=2
    )
    chosen = choose_photos(options, tmp_path, 64, calibrate=False)
    assert not chosen.calibration.paths
    assert [bool(image.masks) for image in chosen.gate] == [True, True]
    with pytest.raises(InputError, match="--gate-classes"):
        choose_photos(
            QualityOptions(gate_images=folder / "images", gate_labels=folder / "labels"), tmp_path, 64, calibrate=False
        )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"calibration_count": 7}, "at least 8 pictures, got 7"),
        ({"min_iou": 1.5}, "min_iou must be from 0 to 1, got 1.5"),
        ({"smoothing": 1.5}, "smoothing must be from 0 to 1, got 1.5"),
        ({"fallback_minutes": float("nan")}, "must be 0 or more, got nan"),
        ({"coreml_int8": "int3"}, "no kind 'int3'"),
        ({"gate_labels": Path("labels")}, "--gate-labels needs --gate-images"),
    ],
)
def test_options_that_contradict_themselves(given: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        QualityOptions(**given)  # type: ignore[arg-type]
