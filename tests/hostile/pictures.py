"""Images and videos that are damaged, or hold something else than they seem to."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from tests.hostile.cases import READ, REFUSED, case
from tests.hostile.kit import Kit, put


@case("image or video", REFUSED, "not an image that Pillow can read")
def text_as_image(folder: Path, kit: Kit) -> Path:
    """A text under an image's name"""
    return put(folder / "a.png", "not a picture")


@case("image or video", REFUSED, "an empty file (0 bytes), not an image")
def empty_image(folder: Path, kit: Kit) -> Path:
    """An image without a byte"""
    return put(folder / "a.jpg", b"")


@case("image or video", REFUSED, "corrupt, truncated or unreadable")
def truncated_image(folder: Path, kit: Kit) -> Path:
    """Half of a photo"""
    Image.effect_noise((400, 300), 60).convert("RGB").save(folder / "a.jpg")
    return put(folder / "a.jpg", (folder / "a.jpg").read_bytes()[:5000])


@case("image or video", REFUSED, "over 100 megapixels. Scale it down first")
def pixel_bomb(folder: Path, kit: Kit) -> Path:
    """A PNG of a few bytes that declares 50,000 pixels a side"""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    content = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    return put(folder / "a.png", b"\x89PNG\r\n\x1a\n" + content)


@case("image or video", REFUSED, "1x1 pixels; expected at least 2 on each side")
def one_pixel(folder: Path, kit: Kit) -> Path:
    """An image of a single pixel"""
    Image.new("RGB", (1, 1)).save(folder / "a.png")
    return folder / "a.png"


@case("image or video", REFUSED, "has 16 bits a channel, but its values go from 0 to 1023, as of 10 bits")
def ten_bits_in_sixteen(folder: Path, kit: Kit) -> Path:
    """Values of 10 bits in a PNG of 16, which would be read near-black"""
    Image.fromarray(np.linspace(0, 1023, 64 * 64).reshape(64, 64).astype(np.uint16)).save(folder / "a.png")
    return folder / "a.png"


@case("image or video", READ, "holds 3 pictures, and the first is taken. Name another with --page N")
def several_pages(folder: Path, kit: Kit) -> Path:
    """A TIFF of three pages"""
    kit.picture.save(folder / "a.tif", save_all=True, append_images=[kit.picture, kit.picture])
    return folder / "a.tif"


@case("image or video", READ, "a.jpg: car")
def odd_exif(folder: Path, kit: Kit) -> Path:
    """EXIF with text where a number belongs"""
    exif = Image.Exif()
    exif[0x0110] = "camera"
    kit.picture.convert("RGB").save(folder / "a.jpg", exif=exif)
    data = (folder / "a.jpg").read_bytes().replace(b"\x01\x10\x00\x02", b"\x01\x12\x00\x02")
    return put(folder / "a.jpg", data)


@case("image or video", REFUSED, "not a video that OpenCV can read")
def text_as_video(folder: Path, kit: Kit) -> Path:
    """A text under a video's name"""
    return put(folder / "a.mp4", "not a video")


@case("image or video", REFUSED, "not a video that OpenCV can read: not a video, truncated before its index")
def cut_video(folder: Path, kit: Kit) -> Path:
    """A video without its index"""
    writer = cv2.VideoWriter(str(folder / "a.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 10, (64, 64))
    for shade in range(20):
        writer.write(np.full((64, 64, 3), 10 * shade, np.uint8))
    writer.release()
    return put(folder / "a.mp4", (folder / "a.mp4").read_bytes()[:-600])
