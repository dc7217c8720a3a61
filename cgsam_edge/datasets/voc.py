"""Pascal VOC's segmentation: PNGs with VOC's palette, one for concepts and one for objects."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np
from PIL import Image

from cgsam_edge.datasets.picture import ImageSource, LabelledPicture, no_images, number_of, numbers
from cgsam_edge.datasets.places import DEFAULT_SPLIT, UniqueStems, place_image
from cgsam_edge.errors import InputError
from cgsam_edge.files import beside, make_folder, write_beside

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Palette = NDArray[np.uint8]

VOID = 255
"""Number of pixels that VOC leaves out of training and judging."""

_MOST = VOID - 1


class VocFormat:
    """``JPEGImages``, ``SegmentationClass``, ``SegmentationObject``, ``ImageSets/Segmentation`` and ``labelmap.txt``.

    In the PNGs, 0 is the background. In those of classes, concept i of the data set is i + 1; in those of objects,
    objects count from 1, the largest first. Where objects overlap, the smaller one is on top. A picture's objects after
    the 254th are void (255) among the objects, as VOC marks what is to be ignored; among the classes, they are as all.
    """

    def write(
        self,
        pictures: Iterable[LabelledPicture],
        concepts: Sequence[str],
        output: Path,
        *,
        images: ImageSource = no_images,
    ) -> list[Path]:
        """Write the data set; see `cgsam_edge.datasets.DatasetFormat`."""
        known, stems = numbers(concepts), UniqueStems()
        if len(concepts) > _MOST:
            raise InputError(f"VOC PNGs hold {_MOST} concepts; the data set has {len(concepts)}. Take another format.")
        palette, folder = voc_palette(), make_folder(output / "ImageSets" / "Segmentation")
        lists: dict[str, tuple[Path, IO[str]]] = {}
        with ExitStack() as stack:
            for picture in pictures:
                split, stem = picture.split or DEFAULT_SPLIT, stems.of(picture)
                if split not in lists:
                    target = folder / f"{split}.txt"
                    partial = stack.enter_context(beside(target))
                    opened = stack.enter_context(partial.open("w", encoding="utf-8", newline="\n"))
                    lists[split] = (target, opened)
                lists[split][1].write(f"{stem}\n")
                place_image(picture, output / "JPEGImages" / f"{stem}{Path(picture.name).suffix}", images)
                for name, numbered in zip(("Class", "Object"), _maps(picture, known), strict=True):
                    _save(numbered, palette, output / f"Segmentation{name}" / f"{stem}.png")
        write_beside(output / "labelmap.txt", lambda path: path.write_bytes(_label_map(concepts, palette).encode()))
        return [output / "labelmap.txt", *(target for target, _ in lists.values())]


def voc_palette() -> Palette:
    """Return VOC's 256 colours, uint8 (256, 3): each colour takes its bits from those of its number."""
    number = np.arange(256)[:, None]
    bits = [((number >> (3 * place + np.arange(3))) & 1) << (7 - place) for place in range(8)]
    return np.asarray(np.bitwise_or.reduce(bits), np.uint8)


def _maps(picture: LabelledPicture, known: dict[str, int]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the numbers of concepts and of objects, uint8 (H, W) each."""
    classes = np.zeros((picture.height, picture.width), np.uint8)
    objects = np.zeros_like(classes)
    for number, one in enumerate(sorted(picture.objects, key=lambda one: -one.area), 1):
        x, y, width, height = one.box
        inside, place = one.crop(), (slice(y, y + height), slice(x, x + width))
        classes[place][inside] = number_of(one, known, picture) + 1
        objects[place][inside] = number if number <= _MOST else VOID
    return classes, objects


def _save(numbered: NDArray[np.uint8], palette: Palette, target: Path) -> None:
    image = Image.fromarray(numbered)
    image.putpalette(palette.ravel().tolist())  # of mode L, it becomes P
    make_folder(target.parent)
    write_beside(target, lambda path: image.save(path, format="PNG"))


def _label_map(concepts: Sequence[str], palette: Palette) -> str:
    """Return CVAT's and Datumaro's list of colours; a concept's colon, which divides fields there, becomes a space."""
    rows = ["# label:color_rgb:parts:actions"]
    for number, name in enumerate(["background", *concepts]):
        colour = ",".join(str(part) for part in palette[number].tolist())
        rows.append(f"{name.replace(':', ' ')}:{colour}::")
    return "\n".join(rows) + "\n"
