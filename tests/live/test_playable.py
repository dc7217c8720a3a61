"""Videos as browsers and phones play them: codec, layout, times, colours and sound, read back by FFmpeg's libraries."""

from __future__ import annotations

import subprocess
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cgsam_edge import ImageError, InputError, Video
from cgsam_edge.live.playable import PlayableVideo
from cgsam_edge.written_files import is_ours
from tests.runtime import clips

av = pytest.importorskip("av", reason="PyAV is not installed (the extra 'video')")

TIMES = (0, 0.04, 0.08, 0.12, 0.52, 0.56, 1.0, 1.4, 1.84, 1.88)


def copy(source: Path, target: Path, **options: Any) -> PlayableVideo:
    """Write a video's frames to another one."""
    made = None
    for frame in Video(source):
        if made is None:
            made = PlayableVideo(target, frame.image.shape[1::-1], source=str(source), **options)
        made.add(frame.image, frame.seconds)
    assert made is not None
    made.close()
    return made


def ticks(path: Path) -> list[Fraction]:
    """Return the exact time of each frame, by the container."""
    with av.open(str(path)) as container:
        return [frame.pts * frame.time_base for frame in container.decode(video=0)]


def packets(path: Path) -> list[tuple[float, bytes]]:
    """Return times and bytes of the sound."""
    with av.open(str(path)) as container:
        found = container.demux(container.streams.audio[0])
        return [(float(one.pts * one.time_base), bytes(one)) for one in found if one.dts is not None]


def film(path: Path, rate: str, *arguments: str, seconds: float = 2) -> Path:
    """Make a video with a tone."""
    source = ["-f", "lavfi", "-i", f"testsrc=s=320x240:r={rate}:d={seconds}"]
    clips.ffmpeg(*source, "-f", "lavfi", "-i", f"sine=d={seconds}", "-pix_fmt", "yuv420p", *arguments, str(path))
    return path


@pytest.mark.parametrize("rate", ["25", "30000/1001", "24000/1001", "12"])
def test_every_frame_keeps_its_time_to_the_tick(tmp_path: Path, rate: str) -> None:
    source = film(tmp_path / "a.mp4", rate, "-c:v", "libx264", "-c:a", "aac")
    made = copy(source, tmp_path / "b.mp4")
    assert ticks(tmp_path / "b.mp4") == ticks(source)
    assert len(ticks(source)) == made.frames
    with av.open(str(tmp_path / "b.mp4")) as container:
        assert float(container.streams.video[0].duration * container.streams.video[0].time_base) == pytest.approx(
            2, abs=0.05
        )


@pytest.mark.parametrize("name", ["rec.mkv", "rec.mp4"])
def test_a_varying_rate_is_kept(tmp_path: Path, name: str) -> None:
    source = clips.sparse(tmp_path / name, TIMES)
    copy(source, tmp_path / "b.mp4")
    assert [float(time) for time in ticks(tmp_path / "b.mp4")] == pytest.approx(TIMES, abs=1e-3)
    assert ticks(tmp_path / "b.mp4") == ticks(source)


def test_the_sound_is_copied_bit_by_bit_and_in_time(tmp_path: Path) -> None:
    source = film(tmp_path / "a.mp4", "25", "-c:v", "libx264", "-c:a", "aac", "-output_ts_offset", "1.5")
    made = copy(source, tmp_path / "b.mp4")
    assert made.sound is not None
    assert made.sound.copied
    before, after = packets(source), packets(tmp_path / "b.mp4")
    assert [data for _, data in after] == [data for _, data in before]
    late = ticks(tmp_path / "b.mp4")[0] - ticks(source)[0]
    gaps = [one[0] - other[0] - float(late) for one, other in zip(after, before, strict=True)]
    assert max(map(abs, gaps)) < 1e-3


def test_a_sound_that_mp4_cannot_hold_is_encoded(tmp_path: Path) -> None:
    source = film(tmp_path / "a.avi", "25", "-c:v", "mpeg4", "-c:a", "pcm_s16le")
    made = copy(source, tmp_path / "b.mp4")
    assert made.sound is not None
    assert (made.sound.codec, made.sound.copied) == ("aac", False)
    with av.open(str(tmp_path / "b.mp4")) as container:
        heard = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
        rate = container.streams.audio[0].rate
    assert len(heard) / rate == pytest.approx(2, abs=0.1)
    spectrum = np.abs(np.fft.rfft(heard[: 2 * rate]))
    assert np.argmax(spectrum) / 2 == pytest.approx(440, abs=2)  # FFmpeg's tone


@pytest.mark.parametrize(
    ("name", "codecs"),
    [
        ("a.mp4", ("-c:v", "libx264", "-c:a", "aac", "-movflags", "+faststart")),
        ("a.avi", ("-c:v", "mpeg4", "-c:a", "pcm_s16le")),
        ("a.mkv", ("-c:v", "libx264", "-c:a", "flac")),
    ],
)
def test_a_source_that_is_cut(tmp_path: Path, name: str, codecs: tuple[str, ...]) -> None:
    """Pictures and sound go as far as they can be read."""
    source = clips.cut(film(tmp_path / name, "25", *codecs), 0.6)
    made: PlayableVideo | None = None
    with pytest.raises(ImageError, match="truncated or corrupt"):  # noqa: PT012
        for frame in Video(source):
            made = made or PlayableVideo(tmp_path / "b.mp4", (320, 240), source=str(source))
            made.add(frame.image, frame.seconds)
    assert made is not None
    made.close()
    assert len(ticks(tmp_path / "b.mp4")) == made.frames > 5
    assert 0.3 < len(packets(tmp_path / "b.mp4")) * 1024 / 44100 < 2.1


def test_what_players_need(tmp_path: Path) -> None:
    """H.264 with 4:2:0 colours, and the index before the pictures, so that playing begins before the file is there."""
    source = film(tmp_path / "a.mp4", "25", "-c:v", "libx264", "-c:a", "aac")
    copy(source, tmp_path / "b.mp4")
    data = (tmp_path / "b.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    with av.open(str(tmp_path / "b.mp4")) as container:
        context = container.streams.video[0].codec_context
        assert (context.name, context.pix_fmt) == ("h264", "yuv420p")
        assert context.profile in ("High", "Main", "Constrained Baseline")


@pytest.mark.parametrize("matrix", ["bt709", None])
def test_colours_are_kept(tmp_path: Path, matrix: str | None) -> None:
    tags = [] if matrix is None else ["-vf", f"scale=out_color_matrix={matrix}", "-colorspace", matrix]
    source = tmp_path / "a.mp4"
    clips.ffmpeg(
        *("-f", "lavfi", "-i", "color=0xd02040:s=320x240:r=10:d=0.5", *tags, "-pix_fmt", "yuv420p", str(source))
    )
    copy(source, tmp_path / "b.mp4")
    planes = []
    for path in (source, tmp_path / "b.mp4"):
        with av.open(str(path)) as container:
            frame = next(container.decode(video=0))
            planes.append((frame.to_ndarray()[[0, 250, 310], 5].astype(int), frame.colorspace))
    assert np.abs(planes[0][0] - planes[1][0]).max() <= 3  # the same luma and chroma, not only the same RGB
    if matrix is not None:
        assert planes[1][1] == planes[0][1] == 1


def test_pixels_that_are_not_square(tmp_path: Path) -> None:
    source = film(tmp_path / "a.mp4", "25", "-vf", "setsar=4/3", "-c:v", "libx264")
    copy(source, tmp_path / "b.mp4")
    with av.open(str(tmp_path / "b.mp4")) as container:
        assert container.streams.video[0].sample_aspect_ratio == Fraction(4, 3)


def test_transparency_in_webm(tmp_path: Path) -> None:
    path = tmp_path / "a.webm"
    made = PlayableVideo(path, (64, 48), rate=10, alpha=True)
    for number in range(5):
        image = np.zeros((48, 64, 4), np.uint8)
        image[:, : 10 * (number + 1)] = (200, 60, 30, 255)
        made.add(image, number / 10)
    made.close()
    decoder = subprocess.run(
        [
            pytest.importorskip("imageio_ffmpeg").get_ffmpeg_exe(),
            *("-loglevel", "error", "-c:v", "libvpx-vp9", "-i", str(path), "-f", "rawvideo", "-pix_fmt", "rgba", "-"),
        ],
        capture_output=True,
        check=True,
    )
    frames: NDArray[np.uint8] = np.frombuffer(decoder.stdout, np.uint8).reshape(-1, 48, 64, 4)
    assert len(frames) == 5
    for number, frame in enumerate(frames):
        edge = 10 * (number + 1)
        assert frame[:, : edge - 2, 3].min() > 240
        assert frame[:, edge + 2 :, 3].max(initial=0) < 15
    assert is_ours(path)


def test_fragments_can_be_read_before_the_end(tmp_path: Path) -> None:
    """What a recording holds when the power fails."""
    made = PlayableVideo(tmp_path / "a.mp4", (64, 48), rate=10, fragmented=True)
    rng = np.random.default_rng(0)
    for number in range(600):
        made.add(rng.integers(0, 255, (48, 64, 3), dtype=np.uint8), number / 10)
    (tmp_path / "cut.mp4").write_bytes((tmp_path / "a.mp4").read_bytes())
    with av.open(str(tmp_path / "cut.mp4")) as container:
        there = container.decode(video=0)
        for _ in range(200):
            next(there)
    made.close()
    assert len(ticks(tmp_path / "a.mp4")) == 600


@pytest.mark.parametrize(
    ("name", "size", "alpha", "message"),
    [
        ("a.mp4", (63, 48), False, "must be even, got 63 x 48"),
        ("a.mp4", (64, 48), True, "has no transparency; .webm has"),
        ("a.mkv", (64, 48), False, "ends with .mp4 or .webm"),
    ],
)
def test_refusals(tmp_path: Path, name: str, size: tuple[int, int], alpha: bool, message: str) -> None:
    with pytest.raises(InputError, match=message):
        PlayableVideo(tmp_path / name, size, alpha=alpha)


def test_time_runs_forward(tmp_path: Path) -> None:
    made = PlayableVideo(tmp_path / "a.mp4", (64, 48))
    made.add(np.zeros((48, 64, 3), np.uint8), 1)
    with pytest.raises(InputError, match="not later than the frame before"):
        made.add(np.zeros((48, 64, 3), np.uint8), 1)
    made.abort()
