"""Short videos, sound and spoilt."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

SIZE = (98, 66)  # even: the codec of the fixtures drops an odd column


def pixels(number: int) -> NDArray[np.uint8]:
    """Return a frame that tells its number: BGR, a bright square that wanders, brighter with each frame."""
    width, height = SIZE
    image = np.full((height, width, 3), (40, 90, 30 + 3 * number), np.uint8)
    image[10:40, 4 * (number % 12) : 4 * (number % 12) + 30] = (200, 60, 220)
    return image


def make(path: Path, count: int, fps: float = 10, codec: str = "mp4v") -> Path:
    """Write a video."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), fps, SIZE)
    assert writer.isOpened()
    for number in range(count):
        writer.write(pixels(number))
    writer.release()
    return path


def sparse(path: Path, times: Sequence[float], sound: float = 0) -> Path:
    """Write frames at some times in seconds, as screen recorders do, and seconds of silence.

    "live" as the name: of unknown length.
    """
    folder = path.parent / f"{path.stem}-frames"
    folder.mkdir()
    lines = ["ffconcat version 1.0"]
    for number, (time, after) in enumerate(zip(times, [*times[1:], times[-1] + 0.04], strict=True)):
        cv2.imwrite(str(folder / f"{number}.png"), pixels(number))
        lines += [f"file {number}.png", f"duration {after - time:.3f}"]
    (folder / "list.txt").write_text("\n".join(lines))
    codec = ["libvpx", "-b:v", "1M"] if path.suffix == ".webm" else ["libx264", "-bf", "0"]
    live = ["-live", "1"] if path.stem == "live" else []
    silence = ["-f", "lavfi", "-t", str(sound), "-i", "anullsrc=r=8000", "-c:a", "aac"] if sound else []
    source = ["-f", "concat", "-i", str(folder / "list.txt"), *silence]
    ffmpeg(*source, "-fps_mode", "vfr", "-c:v", *codec, "-pix_fmt", "yuv420p", *live, str(path))
    return path


def ffmpeg(*arguments: str) -> None:
    """Run the FFmpeg that imageio-ffmpeg brings: OpenCV writes constant rates only."""
    program = pytest.importorskip("imageio_ffmpeg").get_ffmpeg_exe()
    subprocess.run([program, "-y", "-loglevel", "error", *arguments], check=True)


def turned(path: Path) -> Path:
    """Mark an .mp4 to be shown a quarter turned, as telephones do."""
    data = bytearray(path.read_bytes())
    matrix = data.index(b"tkhd") + 4 + 40
    data[matrix : matrix + 36] = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, SIZE[1] << 16, 0, 1 << 30)
    path.write_bytes(data)
    return path


def without_rate(path: Path) -> Path:
    """Give an .mp4 a tick of its clock for each frame, which is no frame rate."""
    data = bytearray(path.read_bytes())
    delta = data.index(b"stts") + 16
    data[delta : delta + 4] = struct.pack(">I", 1)
    path.write_bytes(data)
    return path


def cut(path: Path, share: float) -> Path:
    """Keep the first part of a file."""
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    return path


def without_count(path: Path, count: int) -> Path:
    """Write a bare stream of JPEGs, which does not say how many."""
    path.write_bytes(b"".join(cv2.imencode(".jpg", pixels(n))[1].tobytes() for n in range(count)))
    return path
