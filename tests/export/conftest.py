"""A tiny model and its checkpoint's two parts."""

from __future__ import annotations

import pytest

from cgsam_edge.export.reference import ReferenceModel
from tests import tiny


@pytest.fixture(scope="session", autouse=True)
def _remembered(conversions: None) -> None:
    """Tests here convert the same few graphs again and again."""


@pytest.fixture(scope="session")
def model() -> ReferenceModel:
    return tiny.model(tiny.config())


@pytest.fixture
def parts(model: ReferenceModel) -> tiny.Parts:
    return tiny.upstream_parts(model)
