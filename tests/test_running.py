"""How many processes share a run of the tests."""

from __future__ import annotations

import pytest

from tests.conftest import processes


@pytest.mark.parametrize(
    ("files", "cores", "gigabytes", "full_size", "expected"),
    [
        (99, 2, 24, True, 2),
        (99, 8, 24, False, 6),
        (99, 8, 24, True, 5),
        (99, 2, 11, True, 0),  # the full-size tests alone take 8
        (99, 2, 11, False, 2),
        (1, 8, 99, False, 0),  # one file is one process's, so it is pytest's own
        (3, 8, 99, False, 3),
        (99, 1, 99, False, 0),
        (99, 8, 2, True, 0),
    ],
)
def test_processes(*, files: int, cores: int, gigabytes: float, full_size: bool, expected: int) -> None:
    assert processes(files, cores, gigabytes * 1e9, full_size=full_size) == expected
