"""What ``cgsam segment`` draws: the masks in colour, things blurred, or things without their background."""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cgsam_edge.cli.values import UsageError
from cgsam_edge.written_files import BLURRED_SUFFIX, CUTOUT_SUFFIX, OVERLAY_SUFFIX

if TYPE_CHECKING:
    from PIL import Image

    from cgsam_edge.results import Result

_FLAT = (0, 177, 64)
"""Behind a cut-out that cannot be transparent: the green that video programs key out."""


@dataclass(frozen=True)
class Look:
    """How results are drawn.

    Attributes:
        suffix: second suffix of what is written.
        blur: concepts to blur, or None.
        cutout: whether the background is removed.
        margin: pixels by which blurred masks are widened, or None for the usual.
        background: colour behind a cut-out, or None for transparency where there is any.
        container: first suffix of videos: ``.mp4`` or ``.webm``.
    """

    suffix: str = OVERLAY_SUFFIX
    blur: tuple[str, ...] | None = None
    cutout: bool = False
    margin: int | None = None
    background: tuple[int, int, int] | None = None
    container: str = ".mp4"

    @property
    def picture(self) -> str:
        """Suffix of a drawn image."""
        return f"{self.suffix}.png"

    @property
    def video(self) -> str:
        """Suffix of a drawn video."""
        return f"{self.suffix}{self.container}"

    @property
    def alpha(self) -> bool:
        """Whether a video has transparency."""
        return self.cutout and self.background is None and self.container == ".webm"

    def draw(self, result: Result, *, moving: bool) -> Image.Image:
        """Return the picture, RGB or RGBA.

        Args:
            result: the masks.
            moving: whether it is a frame of a video, whose container may lack transparency.
        """
        if self.blur is not None:
            return result.blurred(self.blur, margin=self.margin)
        if not self.cutout:
            return result.overlay()
        flat = _FLAT if moving and not self.alpha else None
        return result.cutout(background=self.background or flat)

    def is_bare(self, result: Result) -> bool:
        """Whether there is nothing to blur, or to keep, in a picture where something should be."""
        sought = self.blur if self.blur is not None else tuple(result) if self.cutout else ()
        return bool(sought) and not any(result[name].present and result[name].area for name in sought)

    @property
    def bare_note(self) -> str:
        """What the line of a picture or a video says in which nothing was found to blur, or to keep."""
        return f"; nothing was found to {'keep' if self.cutout else 'blur'}"


OVERLAY = Look()

_COLOUR = re.compile("[0-9a-fA-F]{6}")


def add_looks(group: argparse._ArgumentGroup) -> None:
    """Declare the options."""
    either = group.add_mutually_exclusive_group()
    either.add_argument("--blur", metavar="NAMES", help="blur these concepts, such as person,car, and draw no masks")
    either.add_argument(
        "--cutout",
        action="store_true",
        help="keep the concepts and remove everything else: transparent in PNG and WebM, a flat colour in MP4",
    )
    group.add_argument(
        "--margin", type=_margin, metavar="PIXELS", help="widen what is blurred (default: a cell of the model's masks)"
    )
    group.add_argument(
        "--background", type=_colour, metavar="RRGGBB", help="colour behind a cut-out (default in MP4: 00b140, green)"
    )
    group.add_argument(
        "--container",
        choices=("mp4", "webm"),
        help="of videos: mp4 (H.264, with the extra 'video'; else MPEG-4 part 2) or webm (VP9) (default: mp4)",
    )


def look_of(options: argparse.Namespace) -> Look:
    """Return how to draw.

    Raises:
        UsageError: options that do not go together.
    """
    if options.margin is not None and options.blur is None:
        raise UsageError("--margin is for --blur; leave it out.")
    if options.background is not None and not options.cutout:
        raise UsageError("--background is for --cutout; leave it out.")
    common: dict[str, Any] = {"container": f".{options.container or 'mp4'}"}
    if options.blur is not None:
        names = tuple(name.strip() for name in options.blur.split(",") if name.strip())
        if not names:
            raise UsageError("--blur names no concept.")
        return Look(BLURRED_SUFFIX, blur=names, margin=options.margin, **common)
    if options.cutout:
        return Look(CUTOUT_SUFFIX, cutout=True, background=options.background, **common)
    return Look(**common)


def _margin(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a whole number of pixels, got {text!r}")
    return int(text)


def _colour(text: str) -> tuple[int, int, int]:
    digits = text.removeprefix("#")
    if not _COLOUR.fullmatch(digits):
        raise argparse.ArgumentTypeError(f"expected a colour of six hexadecimal digits, such as ffffff, got {text!r}")
    red, green, blue = bytes.fromhex(digits)
    return red, green, blue
