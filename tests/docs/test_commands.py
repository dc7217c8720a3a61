"""What README and docs tell a user to type is typed, in a scratch folder, and does what they say."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import slow
from tests.docs.blocks import Block, differs, documents, read

BLOCKS = {file: read(file) for file in documents()}
RUN = {file: [block for block in blocks if not block.reason] for file, blocks in BLOCKS.items()}

EVERYDAY = ("README.md", "first-mask.md")
"""The pages that a new user reads first."""


def name(file: Path) -> str:
    return "/".join(file.parts[-2:]) if file.parent.name != "docs" else file.name


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory, own_cache: Path) -> Path:
    """A folder in which ``cgsam demo`` was run, as the page "First mask" begins."""
    folder = tmp_path_factory.mktemp("demo")
    done = type_in("cgsam demo", folder, own_cache)
    assert done.returncode == 0, done.stderr
    return folder / "demo"


def type_in(command: str, folder: Path, cache: Path) -> subprocess.CompletedProcess[str]:
    """Run a block as bash does, with this interpreter's commands first and a separate home folder."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "HOME": str(folder), "CGSAM_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        capture_output=True, text=True, check=False, cwd=folder, env=environment, timeout=800,
    )  # fmt: skip


def run_all(blocks: list[Block], folder: Path, cache: Path) -> None:
    for number, block in enumerate(blocks):
        code = block.code
        if block.language == "python":
            file = folder / f"block-{number}.py"
            file.write_text(code, encoding="utf-8")
            code = f"python {file.name}"
        done = type_in(code, folder, cache)
        where = f"{name(block.file)}:{block.line}"
        assert done.returncode == 0, f"{where}: exit code {done.returncode}\n{block.code}\n{done.stdout}\n{done.stderr}"
        wrong = differs(block.expected, done.stdout) if block.expected else ""
        assert not wrong, f"{where}: not printed as the page says: {wrong}\n--- printed:\n{done.stdout}"


def quick(file: Path) -> bool:
    return any(not block.slow for block in RUN[file]) and not any(block.slow for block in RUN[file])


@pytest.mark.parametrize(
    "file", [file if file.name in EVERYDAY else slow(file) for file in RUN if quick(file)], ids=name
)
def test_commands(file: Path, demo: Path, tmp_path: Path, own_cache: Path) -> None:
    (tmp_path / "demo").symlink_to(demo)
    run_all(RUN[file], tmp_path, own_cache)


@pytest.mark.slow
@pytest.mark.parametrize("file", [file for file in RUN if RUN[file] and not quick(file)], ids=name)
def test_commands_that_export_or_measure(file: Path, demo: Path, tmp_path: Path, own_cache: Path) -> None:
    (tmp_path / "demo").symlink_to(demo)
    run_all(RUN[file], tmp_path, own_cache)


@pytest.mark.parametrize("file", list(BLOCKS), ids=name)
def test_a_block_that_is_not_run_says_why(file: Path) -> None:
    for block in BLOCKS[file]:
        assert not block.reason or len(block.reason.split()) > 1, f"{name(file)}:{block.line}"


def test_enough_is_run() -> None:
    """A change of the pages' form must not leave this file with nothing to do."""
    assert sum(map(len, RUN.values())) >= 15
    assert any(block.expected for blocks in RUN.values() for block in blocks)


@pytest.mark.parametrize(
    ("expected", "printed", "wrong"),
    [
        ("2 images in 3.1 s", "2 images in 40 s", ""),
        ("car … → out", "car 4 %, road absent → out", ""),
        ("a\n…\nb", "a\nx\ny\nb", ""),
        ("a\n…\nb", "a\nb", ""),
        ("error 6e-07", "error 1.5e-05", ""),
        ("two words", "other words", "two words"),
        ("car 3 %", "car absent", "car 3 %"),
        ("a\nb", "b\na", "the order of lines"),
        ("a", "a\nb", "the order of lines"),
    ],
)
def test_words_are_compared_and_figures_are_not(expected: str, printed: str, wrong: str) -> None:
    assert differs(expected, printed) == wrong


def test_blocks_are_found_as_written(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "1. A step\n\n    <!-- not run: needs a thing -->\n    ```bash\n    cgsam x\n    ```\n\n"
        "```bash\nls\n```\n\n```text\nout\n```\n\n"
        "<!-- slow -->\n```python\npass\n```\n\nwords\n\n```text\nnot its\n```\n"
    )
    first, second, third = read(page)
    assert (first.code, first.reason, first.line) == ("cgsam x\n", "needs a thing", 4)
    assert (second.code, second.expected, second.reason, second.slow) == ("ls\n", "out\n", "", False)
    assert (third.language, third.slow, third.expected) == ("python", True, "")
