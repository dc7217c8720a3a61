"""`web/`: its own tests, in Node and in Chromium, and what the rest of the project may expect of it."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from tests.web import supplies
from tests.web.node import NODE, WEB, npm, run

__all__ = ["npm"]  # a fixture

LONGEST_FILE = 300


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_it_is_checked_built_and_tested(npm: str) -> None:
    """Types and style, then everything in Node and, where there is a Chromium, in that."""
    run(npm, "run", "check")
    run(npm, "run", "build")
    supplies.write(WEB / "dist" / "page", WEB / "tests" / "data")
    printed = run(npm, "test").stdout
    assert "# fail 0" in printed
    if re.search(r"# SKIP no Chromium", printed):
        pytest.skip("the tests in Node passed; there is no Chromium for the others (variable CHROMIUM)")


def test_the_page_of_the_server_is_built_from_its_sources(npm: str, tmp_path: Path) -> None:
    """What the wheel holds is what the sources give: ``npm run build:serve`` in `web/` writes it."""
    assert NODE is not None
    run(NODE, "build-serve.mjs", str(tmp_path / "page"))
    held = WEB.parent / "cgsam_edge" / "serve" / "page"
    fresh = {path.name: path.read_bytes() for path in (tmp_path / "page").iterdir()}
    assert {"index.html", "main.js", "style.css", "sample.webp", "icon.svg"} <= set(fresh)
    assert {path.name: path.read_bytes() for path in held.iterdir()} == fresh, "run npm run build:serve in web/"


def test_a_program_that_does_not_end_is_killed(npm: str) -> None:
    assert NODE is not None
    with pytest.raises(pytest.fail.Exception, match=r"ran for 2 s:\nalive"):
        run(NODE, "-e", "console.log('alive'); setInterval(() => {}, 1000)", timeout=2)


def test_the_page_lists_the_bundles_that_lie_beside_it() -> None:
    listed = json.loads((WEB / "page" / "models.json").read_text(encoding="utf-8"))
    assert [model["file"] for model in listed] == list(supplies.BUNDLES)


def test_the_lock_file_names_no_registry() -> None:
    """An address that one machine can reach would fail everywhere else."""
    packages = json.loads((WEB / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    assert len(packages) > 10
    assert [name for name, package in packages.items() if "resolved" in package] == []
    assert all("integrity" in package for name, package in packages.items() if name)


def test_no_file_is_long() -> None:
    kept = ("node_modules", "dist", "data")
    lengths = {
        str(path.relative_to(WEB)): path.read_text(encoding="utf-8").count("\n")
        for folder, names, files in os.walk(WEB)
        if not names.__setitem__(slice(None), [name for name in names if name not in kept])
        for path in (Path(folder, file) for file in files)
        if path.suffix in (".ts", ".mjs", ".css", ".html")
    }
    assert len(lengths) > 40
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST_FILE} == {}
