"""What our commands draw beside pictures is not taken for a picture by a command that searches a folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from cgsam_edge import Segmenter, shipped
from cgsam_edge.bulk.sources import find_pictures
from cgsam_edge.cli.inputs import SUFFIXES, find_images
from cgsam_edge.cli.label import pictures_of
from cgsam_edge.quality.labels import image_files
from cgsam_edge.quality.scenes import CONCEPTS
from cgsam_edge.quality.scenes.__main__ import write_scenes
from cgsam_edge.quality.sources import PictureSource
from cgsam_edge.serve.answers import picture
from cgsam_edge.serve.schemas import OF_PICTURES
from cgsam_edge.written_files import PICTURES, is_drawn, is_ours, png_mark
from tests.commands import cgsam, fails
from tests.conftest import slow

SEGMENT = ("segment", "scene_003_00000.png", "--backend", "onnxruntime")  # an engine that is named is not looked for
COMMANDS = {
    "segment": (*SEGMENT, "--concepts", "car"),
    "segment --blur": (*SEGMENT, "--blur", "car,road"),
    "segment --cutout": (*SEGMENT, "--concepts", "car", "--cutout"),
    "demo": ("demo", "--output", "."),
    "eval": ("eval", "--images", ".", "--labels", "../labels", "--classes", "../classes.txt", "--output", "."),
}


@pytest.mark.parametrize("command", [one if one == "segment" else slow(one) for one in COMMANDS])
def test_no_command_takes_what_another_drew(command: str, own_cache: Path, tmp_path: Path) -> None:
    write_scenes(tmp_path, 3, range(1), 160, 128)
    (tmp_path / "classes.txt").write_text("\n".join([*CONCEPTS, "ignore: 255"]))
    folder = tmp_path / "images"
    taken = {file.name for file in folder.iterdir()} | ({"street.png"} if command == "demo" else set())
    done = cgsam(*COMMANDS[command], cwd=folder)
    assert done.returncode == 0, done.stderr
    drawn = {file for file in folder.iterdir() if file.suffix in SUFFIXES and file.name not in taken}
    assert drawn
    assert all(is_drawn(file.name.upper()) and is_ours(file) for file in drawn)
    assert {ref.name for ref in find_pictures([str(folder)])} == taken
    assert {ref.name for ref in find_pictures([f"{folder}/*.png"])} == taken
    if command.startswith("segment"):  # as a shell lists them
        assert {Path(one).name for one in pictures_of([str(file) for file in folder.glob("*.png")])} == taken
    assert {file.name for file in find_images([str(folder)])} == taken
    assert {file.name for file in image_files(folder)} == taken


def test_what_programs_draw_is_left_out_of_a_folder(
    tiny_segmenter: Segmenter, tiny_bundle: Path, tmp_path: Path
) -> None:
    write_scenes(tmp_path, 3, range(1), 160, 128)
    folder = tmp_path / "images"
    result = tiny_segmenter.segment(folder / "scene_003_00000.png", ["car"])
    overlay = result.overlay()
    overlay.save(folder / "masks.png")
    overlay.save(folder / "UPPER.PNG")
    with (folder / "opened.png").open("wb") as file:
        overlay.save(file)
    for kind in OF_PICTURES:
        (folder / f"fetched-{kind}.png").write_bytes(picture(result, kind, "scene.png").content)
    overlay.crop((0, 0, 64, 64)).save(folder / "part.png")
    overlay.save(folder / "photo.jpg")
    command = ("segment", "--bundle", tiny_bundle, "--concepts", "car", "--output", "out")
    done = cgsam(*command, folder, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "masks.png: left out; cgsam drew it. Name it to segment it too." in done.stderr
    assert {file.stem for file in (tmp_path / "out").glob("*.json")} == {"scene_003_00000", "part", "photo"}
    assert cgsam(*command, folder / "masks.png", cwd=tmp_path).returncode == 0
    assert cgsam(*command, f"{folder}/mask*.png", cwd=tmp_path).returncode == 0, "a glob names its files"
    assert (tmp_path / "out" / "masks.json").exists()
    for name in ("scene_003_00000.png", "part.png", "photo.jpg"):
        (folder / name).unlink()
    fails(cgsam(*command, folder, cwd=tmp_path), 3, "cgsam drew all images there")


def test_pictures_of_the_server_count_as_drawn() -> None:
    assert {f".{kind}.png" for kind in OF_PICTURES} <= set(PICTURES)


def test_a_bundle_among_pictures_is_not_searched(tmp_path: Path) -> None:
    write_scenes(tmp_path, 3, range(1), 32, 32)
    folder = tmp_path / "images"
    (folder / "cars.cgsam").mkdir()
    for file in ("manifest.json", "vocabulary.npz"):
        (folder / "cars.cgsam" / file).write_bytes((shipped.BUNDLE / file).read_bytes())
    card = folder / "cars.cgsam" / "card"
    card.mkdir()
    (card / "1-scene.png").write_bytes((folder / "scene_003_00000.png").read_bytes())
    assert [ref.name for ref in find_pictures([str(folder)])] == ["scene_003_00000.png"]


def test_a_comparison_leaves_out_and_names_what_was_drawn(tmp_path: Path) -> None:
    for name, mark in (("1.png", None), ("house.overlay.png", None), ("masks.png", png_mark())):
        Image.new("RGB", (60, 40)).save(tmp_path / name, pnginfo=mark)
    with PictureSource(tmp_path).open() as labels:
        assert [entry.path.name for entry in labels.entries] == ["1.png", "house.overlay.png"]
        assert labels.left_out == (f"{tmp_path / 'masks.png'}: cgsam drew it, from another picture.",)
    with PictureSource(tmp_path / "masks.png").open() as labels:
        assert [entry.path.name for entry in labels.entries] == ["masks.png"], "named"
