"""What counts as a picture, what it is called, and sources that hold none."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from PIL import Image

from cgsam_edge.bulk.sources import PictureRef, find_pictures, without_marked
from cgsam_edge.bulk.worker import read_bytes
from cgsam_edge.errors import ImageError, InputError, MissingLibraryError
from cgsam_edge.written_files import is_drawn, png_mark


def png(seed: int, **more: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (8, 8, 3), np.uint8)).save(buffer, "PNG", **more)
    return buffer.getvalue()


def put(folder: Path, *names: str) -> Path:
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(png(number, pnginfo=png_mark() if is_drawn(name) else None))
    return folder


def names(refs: list[PictureRef]) -> list[str]:
    return [ref.name for ref in refs]


def test_a_folder_is_searched_in_depth(tmp_path: Path) -> None:
    put(
        tmp_path,
        "b/2.PNG",
        "a.jpg",
        "b/c/1.tif",
        ".hidden.png",
        ".dir/x.png",
        "a.overlay.png",
        "notes.txt",
        "out/z.png",
    )
    found = find_pictures([str(tmp_path)], leave_out=tmp_path / "out")
    assert names(found) == ["a.jpg", "b/2.PNG", "b/c/1.tif"]
    assert found[0].place == (tmp_path / "a.jpg").as_posix()
    size, _, time = found[0].stamp.partition(":")
    assert (int(size), int(time)) == ((tmp_path / "a.jpg").stat().st_size, (tmp_path / "a.jpg").stat().st_mtime_ns)


def test_a_picture_of_the_user_may_be_called_as_ours(tmp_path: Path) -> None:
    own = ["contact-sheet.png", "faces.blurred.png", "house.overlay.png", "logo.cutout.png"]
    for name in own:
        (tmp_path / name).write_bytes(png(1))
    put(tmp_path, "drawn.overlay.png")
    for source in (tmp_path, tmp_path / "*.png"):
        drawn: list[str] = []
        assert names(find_pictures([str(source)], drawn=drawn.append)) == own
        assert drawn == [str(tmp_path / "drawn.overlay.png")]


def test_a_folder_of_drawings_alone_says_so(tmp_path: Path) -> None:
    put(tmp_path, "1.overlay.png", "2.cutout.png")
    with pytest.raises(InputError, match=r"no \.parquet file, apart from 2 that cgsam drew; name one to label it\."):
        find_pictures([str(tmp_path)])


def test_what_is_drawn_is_known_under_another_name(tmp_path: Path) -> None:
    put(tmp_path, "1.png", "2.png")
    (tmp_path / "masks.png").write_bytes(png(1, pnginfo=png_mark()))
    drawn: list[str] = []
    sources = [str(tmp_path)]
    assert names(list(without_marked(find_pictures(sources), sources, drawn.append))) == ["1.png", "2.png"]
    assert drawn == [str(tmp_path / "masks.png")]
    sources = [str(tmp_path / "masks.png")]
    assert names(list(without_marked(find_pictures(sources), sources, drawn.append))) == ["masks.png"], "named"


@pytest.mark.skipif(os.name == "nt", reason="links need a right there")
def test_links_to_folders_are_followed_once(tmp_path: Path) -> None:
    put(tmp_path, "top/1.png", "top/day/2.png", "elsewhere/3.png", "elsewhere/deep/4.png", "unrelated.png")
    top = tmp_path / "top"
    for name, target in (("a", "elsewhere"), ("b", "elsewhere"), ("c", "top/day"), ("day/up", "top"), ("z", ".")):
        (top / name).symlink_to(tmp_path / target, target_is_directory=True)
    (tmp_path / "elsewhere/back").symlink_to(top, target_is_directory=True)
    assert names(find_pictures([str(top)])) == ["1.png", "a/3.png", "a/deep/4.png", "day/2.png", "z/unrelated.png"]


def test_several_sources_keep_their_folders_apart(tmp_path: Path) -> None:
    put(tmp_path, "day/1.png", "night/1.png")
    assert names(find_pictures([str(tmp_path / "day"), str(tmp_path / "night")])) == ["day/1.png", "night/1.png"]
    assert names(find_pictures([str(tmp_path / "day/1.png")])) == ["1.png"]
    assert names(find_pictures([str(tmp_path / "day" / "*.png")])) == ["1.png"]


@pytest.mark.parametrize(
    ("made", "asked", "words"),
    [
        ("d/1.txt", "d", "holds no picture"),
        ("d/1.txt", "gone", "no such file or folder"),
        ("d/1.txt", "*.png", "no such file or folder"),
        ("d/1.txt", "a\0b", "no such file or folder"),
    ],
)
def test_sources_without_pictures(made: str, asked: str, words: str, tmp_path: Path) -> None:
    put(tmp_path, made)
    with pytest.raises(InputError, match=words):
        find_pictures([f"{tmp_path}/{asked}"])


def test_two_pictures_of_one_name(tmp_path: Path) -> None:
    put(tmp_path, "a/x/1.png", "b/x/1.png")
    with pytest.raises(InputError, match=r"x/1\.png' in the data set"):
        find_pictures([str(tmp_path / "a/x"), str(tmp_path / "b/x")])


@pytest.mark.skipif(os.name == "nt", reason="names are Unicode there")
def test_a_name_that_is_not_utf8_is_refused_in_its_turn(tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes(png(1))
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.png")).write_bytes(png(2))
    assert names(find_pictures([str(tmp_path)])) == ["1.png", r"\udcff.png"]


def test_urls(tmp_path: Path) -> None:
    fsspec = pytest.importorskip("fsspec", reason="the extra 'ray' is not installed")
    memory = fsspec.filesystem("memory")
    memory.pipe({"/bucket/day/1.png": png(1), "/bucket/2.jpg": png(2), "/bucket/notes.txt": b"x"})
    memory.pipe("/bucket/3.overlay.png", png(3))
    drawn: list[str] = []
    found = find_pictures(["memory://bucket"], drawn=drawn.append)
    assert drawn == ["3.overlay.png"], "by its name alone"
    assert [(ref.name, ref.place) for ref in found] == [
        ("2.jpg", "memory:///bucket/2.jpg"),
        ("day/1.png", "memory:///bucket/day/1.png"),
    ]
    assert read_bytes(found[1].place) == png(1)
    assert names(find_pictures(["memory://bucket/2.jpg"])) == ["2.jpg"]
    put(tmp_path, "1.png")
    assert names(find_pictures([f"file://{tmp_path}"])) == ["1.png"]
    memory.rm("/bucket/2.jpg")
    with pytest.raises(ImageError, match=r"memory:///bucket/2\.jpg: cannot be read"):
        read_bytes(found[0].place)


def test_urls_that_name_a_host_or_an_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The places that are found name the host and the archive again, so that a worker can read them."""
    fsspec = pytest.importorskip("fsspec", reason="the extra 'ray' is not installed")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("day/1.png", png(1))
    found = find_pictures([f"zip://::{tmp_path}/a.zip"])
    assert names(found) == ["day/1.png"]
    assert read_bytes(found[0].place) == png(1)

    class Remote(fsspec.get_filesystem_class("memory")):  # type: ignore[misc]
        """Paths without the host, as FTP, SFTP and GitHub have them."""

        protocol, cachable = "remote", False
        store: ClassVar[dict[str, Any]] = {}
        pseudo_dirs: ClassVar[list[str]] = [""]

        def __init__(self, host: str, **options: object) -> None:
            assert host == "example.org"
            super().__init__(**options)

        @classmethod
        def _strip_protocol(cls, path: str) -> str:
            return "/" + path.partition("://")[2].partition("/")[2] if "://" in path else path

        @staticmethod
        def _get_kwargs_from_urls(url: str) -> dict[str, str]:
            return {"host": url.partition("://")[2].partition("/")[0].rpartition("@")[2]}

    fsspec.register_implementation("remote", Remote, clobber=True)
    Remote("example.org").pipe("/photos/day/1.png", png(2))
    found = find_pictures(["remote://me:pw@example.org/photos"])
    assert [(ref.name, ref.place) for ref in found] == [
        ("day/1.png", "remote://me:pw@example.org/photos/day/1.png"),
    ]
    assert read_bytes(found[0].place) == png(2)
    with pytest.raises(ImageError) as caught:
        read_bytes("remote://me:pw@example.org/gone.png")
    assert str(caught.value).startswith("remote://***@example.org/gone.png: cannot be read")


def test_the_output_is_no_source_however_it_is_spelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "day", "1.png", "run/coco/2.png", "earlier/coco/3.png", "4.blurred.png", "5.cutout.png")
    (tmp_path / "day/earlier/run.json").write_text('{"format": "cgsam-edge labelling run", "version": 7}')
    (tmp_path / "link").symlink_to(tmp_path / "day", target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    for source in ("day", "link", "day/../day", "day/**/*.png", "link/**/*.png"):
        for output in ("day/run", "link/run", "day/../link/run"):
            assert names(find_pictures([source], leave_out=Path(output))) == ["1.png"], (source, output)
    with pytest.raises(InputError, match="day/run: is the output folder too, or lies in it; name another"):
        find_pictures(["day/run"], leave_out=Path("link/run"))
    assert names(find_pictures(["day/earlier"])) == ["coco/3.png"], "named on purpose"


@pytest.mark.parametrize("source", ["clip.mp4", "0", "/dev/video0", "rtsp://me:pw@camera/1", "https://h/a.mp4?sig=pw"])
def test_videos_and_cameras(source: str) -> None:
    with pytest.raises(InputError, match="videos and cameras are for cgsam segment; save frames") as caught:
        find_pictures([source])
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "kind", "words"),
    [
        ("memory://nowhere", InputError, "no such file, folder or bucket"),
        ("file:///gone/for/ever", InputError, "no such file, folder or bucket"),
        ("nonsense://bucket", InputError, "nonsense://bucket: cannot be opened"),
        ("smb://host/share", MissingLibraryError, "needs a library that is not installed"),
    ],
)
def test_urls_without_pictures(url: str, kind: type[Exception], words: str) -> None:
    pytest.importorskip("fsspec", reason="the extra 'ray' is not installed")
    with pytest.raises(kind, match=words):
        find_pictures([url])


def test_parquet_with_bytes(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="the extra 'ray' is not installed")
    arrow = pytest.importorskip("pyarrow")
    rows = [{"image": {"bytes": png(i), "path": f"cam/{i}.png"}} for i in range(5)]
    parquet.write_table(arrow.Table.from_pylist(rows), tmp_path / "as.parquet", row_group_size=2)
    found = find_pictures([str(tmp_path / "as.parquet")])
    assert names(found) == [f"cam/{i}.png" for i in range(5)]
    assert [read_bytes(ref.place, ref.row) for ref in found] == [png(i) for i in range(5)]
    parquet.write_table(arrow.table({"bytes": [png(7), None]}), tmp_path / "plain.parquet")
    both = find_pictures([str(tmp_path)])
    assert names(both)[-2:] == ["plain/000000000.png", "plain/000000001.png"]
    with pytest.raises(ImageError, match="row 1: holds no bytes"):
        read_bytes(both[-1].place, both[-1].row)


def test_parquet_without_bytes(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="the extra 'ray' is not installed")
    arrow = pytest.importorskip("pyarrow")
    parquet.write_table(arrow.table({"label": [1]}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match=r"no column with the bytes of pictures.*label \(int64\)"):
        find_pictures([str(tmp_path / "a.parquet")])
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match="not a Parquet file that can be read"):
        find_pictures([str(tmp_path / "a.parquet")])
