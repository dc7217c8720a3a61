"""Bundles that may be spoilt, a cache of one's own, and the choice of engines."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cgsam_edge.cli.video import can_play
from cgsam_edge.runtimes import cache, children, registry
from cgsam_edge.runtimes.protocol import Backend


@pytest.fixture
def both(all_bundles: dict[str, Path], tmp_path: Path) -> Path:
    """A copy of the tiny bundle for both engines."""
    return Path(shutil.copytree(all_bundles["fp32"], tmp_path / "both.cgsam"))


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A cache folder in which nothing is remembered."""
    monkeypatch.setenv(cache.ENVIRONMENT, str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def trials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try engines in children before they are used, as apps do."""
    monkeypatch.delenv(children.NO_TRIAL)


@pytest.fixture
def without_av(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """PyAV is not installed."""
    monkeypatch.setitem(sys.modules, "av", None)
    can_play.cache_clear()
    yield
    can_play.cache_clear()


@pytest.fixture
def engines() -> Iterator[Callable[..., None]]:
    """Set which engines there are."""
    kept = dict(registry.BACKENDS)

    def use(*backends: Backend) -> None:
        registry.BACKENDS.clear()
        registry.BACKENDS.update({backend.name: backend for backend in backends})

    yield use
    use(*kept.values())
