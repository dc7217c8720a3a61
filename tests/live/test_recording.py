"""Lines and video of a camera on a disk: rotation, and what happens on a real file system that is full."""

from __future__ import annotations

import errno
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from cgsam_edge import OutputError
from cgsam_edge.live.recording import Recording
from cgsam_edge.wording import amount

av = pytest.importorskip("av", reason="PyAV is not installed (the extra 'video')")


def line(number: int, length: int = 200) -> str:
    return json.dumps({"number": number, "filling": "x" * length})


def picture(number: int, side: int = 64) -> NDArray[np.uint8]:
    """Return noise, which no codec makes small."""
    return np.random.default_rng(number).integers(0, 256, (side, side, 3), dtype=np.uint8)


def numbers(folder: Path) -> list[int]:
    """Return what the lines of all files hold, each a complete document."""
    files = sorted(folder.glob("*.jsonl"))
    return [json.loads(text)["number"] for file in files for text in file.read_text().splitlines()]


def frames(file: Path) -> int:
    with av.open(str(file)) as container:
        return sum(1 for _ in container.decode(video=0))


@pytest.fixture
def small_disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A file system of four megabytes, or as many as a parameter says, with options that follow them."""
    size = getattr(request, "param", "4m")
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip("no right to mount a small file system")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_lines_are_there_at_once(tmp_path: Path) -> None:
    recording = Recording(tmp_path, "cam")
    recording.add(line(0), None, 0)
    recording.add(line(1), None, 1)
    assert numbers(tmp_path) == [0, 1]  # before it is closed
    recording.close()
    assert recording.written == 2


def test_a_video_is_there_at_once(tmp_path: Path) -> None:
    recording = Recording(tmp_path, "cam", video=".overlay.mp4")
    for number in range(12):
        recording.add(line(number), picture(number), number / 2)
    (file,) = tmp_path.glob("cam-*.overlay.mp4")
    assert frames(file) >= 9  # all but the second that is not yet written
    recording.close()
    assert frames(file) == 12


def test_pictures_of_several_sizes(tmp_path: Path) -> None:
    """A legend has fewer lines in some frames."""
    recording = Recording(tmp_path, "cam", video=".overlay.mp4")
    for number, side in enumerate((64, 60, 70, 64)):
        recording.add(line(number), picture(number, side), number)
    recording.close()
    (file,) = tmp_path.glob("*.overlay.mp4")
    assert frames(file) == 4
    assert recording.unrecorded == 0


def test_rotation_by_size(tmp_path: Path) -> None:
    said: list[str] = []
    recording = Recording(tmp_path, "cam", rotate_bytes=1000, progress=said.append)
    for number in range(20):
        recording.add(line(number), None, number)
    recording.close()
    files = sorted(tmp_path.glob("cam-*.jsonl"))
    assert len(files) == len(said) == 4
    assert all(file.stat().st_size <= 1000 + 300 for file in files)
    assert sorted(numbers(tmp_path)) == list(range(20))


def test_rotation_by_time_takes_the_video_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("cgsam_edge.live.recording.time.monotonic", lambda: now[0])
    recording = Recording(tmp_path, "cam", video=".overlay.mp4", rotate_seconds=10)
    for number in range(6):
        now[0] = 4.0 * number
        recording.add(line(number), picture(number), now[0])
    recording.close()
    pairs = sorted(tmp_path.glob("*.jsonl"))
    assert [len(file.read_text().splitlines()) for file in pairs] == [3, 3]
    assert [frames(file.with_name(f"{file.stem}.overlay.mp4")) for file in pairs] == [3, 3]


def test_the_video_ends_before_the_disk_is_full(small_disk: Path) -> None:
    said: list[str] = []
    recording = Recording(small_disk, "cam", video=".overlay.mp4", keep_free=2_000_000, progress=said.append)
    for number in range(60):
        recording.add(line(number), picture(number, 256), number / 5)
    assert numbers(small_disk) == list(range(60))
    assert 0 < recording.unrecorded < 60
    assert recording.lost == 0
    (file,) = small_disk.glob("*.overlay.mp4")
    assert frames(file) == 60 - recording.unrecorded
    assert [text for text in said if "the video ends, because only" in text and "the lines go on" in text]
    recording.close()


@pytest.mark.parametrize("small_disk", ["80m"], indirect=True)
def test_the_video_goes_on_when_there_is_room(small_disk: Path) -> None:
    said: list[str] = []
    filler = small_disk / "filler"
    filler.write_bytes(bytes(79 * 2**20))
    recording = Recording(small_disk, "cam", video=".overlay.mp4", keep_free=4_000_000, progress=said.append)
    for number in range(10):
        recording.add(line(number), picture(number), number)
    assert recording.unrecorded == 10
    assert not list(small_disk.glob("*.mp4"))
    filler.unlink()
    for number in range(10, 20):
        recording.add(line(number), picture(number), number)
    recording.close()
    assert recording.unrecorded == 10
    (file,) = small_disk.glob("*.mp4")
    assert frames(file) == 10
    assert [text for text in said if "the video goes on in the new files" in text]
    assert sorted(numbers(small_disk)) == list(range(20))


def test_a_full_disk_costs_the_video_first_and_no_line_is_cut(small_disk: Path) -> None:
    said: list[str] = []
    recording = Recording(small_disk, "cam", video=".overlay.mp4", keep_free=0, progress=said.append)
    for number in range(400):
        recording.add(line(number, 6000), picture(number, 256), number / 5)
    assert recording.written > 300  # the video was removed for them
    assert not list(small_disk.glob("*.mp4"))
    assert [text for text in said if "removed, because the disk is full" in text]
    assert numbers(small_disk) == list(range(400))
    recording.close()


def test_lines_that_have_no_room_are_counted_and_writing_goes_on(small_disk: Path) -> None:
    said: list[str] = []
    filler = small_disk / "filler"
    recording = Recording(small_disk, "cam", progress=said.append)
    recording.add(line(0), None, 0)
    with pytest.raises(OSError, match="No space left"):
        filler.write_bytes(bytes(5_000_000))
    for number in range(1, 60):
        recording.add(line(number, 4000), None, number)
    assert recording.lost >= 55
    lost = recording.lost
    filler.unlink()
    recording.add(line(60), None, 60)
    recording.close()
    found = numbers(small_disk)  # each is complete
    assert found[0] == 0
    assert found[-1] == 60
    assert len(found) == 61 - lost
    assert sum("lines are lost until there is room" in text for text in said) == 1
    assert sum(f"there is room again; lost: {amount(lost, 'line')}." in text for text in said) == 1


@pytest.mark.parametrize("small_disk", ["4m,nr_inodes=3"], indirect=True)
def test_without_room_for_the_next_files_the_present_ones_go_on(small_disk: Path) -> None:
    said: list[str] = []
    recording = Recording(small_disk, "cam", rotate_bytes=1000, progress=said.append)
    recording.add(line(0), None, 0)
    (small_disk / "filler").touch()  # no further file has room
    for number in range(1, 20):
        recording.add(line(number), None, number)
    assert len(list(small_disk.glob("*.jsonl"))) == 1
    present = next(small_disk.glob("*.jsonl"))
    assert [text for text in said if "goes on" in text] == [
        f"{present}: goes on, because the disk has no room for new files."
    ]
    (small_disk / "filler").unlink()
    recording.add(line(20), None, 20)
    recording.close()
    assert recording.written == 21
    assert recording.lost == 0
    assert len(list(small_disk.glob("*.jsonl"))) == 2
    assert sorted(numbers(small_disk)) == list(range(21))


def test_a_disk_that_is_full_from_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("cgsam_edge.live.recording.os.open", full)
    with pytest.raises(OutputError, match=r"could not be written \(No space left"):
        Recording(tmp_path, "cam").add("{}", None, 0)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="could not be written"):
        Recording(tmp_path / "missing", "cam").add("{}", None, 0)
