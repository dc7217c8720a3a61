"""The documentation as a site: it builds strictly, links lead somewhere, and nothing is fetched from elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cgsam_edge.cli import make_export_parser, make_parser
from cgsam_edge.cli.reference import commands, markdown
from tests.docs.blocks import ROOT

LINK = re.compile(r"\]\(([^)\s]+)\)")
MAX_README = 180


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(target)],
        capture_output=True, text=True, check=False, cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return target


@pytest.mark.slow
def test_the_site_builds_without_a_warning(site: Path) -> None:
    assert (site / "index.html").is_file()


@pytest.mark.slow
def test_pages_load_nothing_from_elsewhere(site: Path) -> None:
    loads = re.compile(r"<(?:script|img|iframe|link)[^>]+(?:src|href)=[\"']?(https?:)?//", re.IGNORECASE)
    for page in site.rglob("*.html"):
        assert not loads.search(page.read_text(encoding="utf-8")), page.name


@pytest.mark.slow
def test_the_reference_names_every_option_of_every_command(site: Path) -> None:
    page = (site / "reference" / "command-line.html").read_text(encoding="utf-8")
    for parser in (make_parser(), make_export_parser()):
        for name, one in {parser.prog: parser, **commands(parser)}.items():
            assert f">{one.prog}<" in page, name
            for option in {text for action in one._actions for text in action.option_strings} - {"-h", "--help"}:
                assert option in page, (name, option)


def test_the_reference_tells_defaults_and_meaning() -> None:
    text = markdown(make_parser())
    assert "## cgsam eval" in text
    assert "## cgsam vocab add" in text
    assert "- `--clicks N`: with --mode clicks: the most clicks, each on the greatest error of the mask so far" in text


@pytest.mark.slow
def test_the_python_reference_has_every_public_name(site: Path) -> None:
    import cgsam_edge

    page = (site / "reference" / "python.html").read_text(encoding="utf-8")
    for name in cgsam_edge.__all__:
        assert name in page or name == "__version__", name


def test_readme_is_short_and_its_links_lead_somewhere() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MAX_README
    local = [link.split("#")[0] for link in LINK.findall(text) if not link.startswith("http")]
    assert len(local) > 10
    assert not [link for link in local if link and not (ROOT / link).exists()]


def test_every_page_is_in_the_navigation() -> None:
    """Strict builds refuse a page that no menu leads to; this names it without building."""
    menu = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    assert not {page for page in pages if f"- {page}\n" not in menu}
