"""Ray reports nothing: its switch is set before it is imported, for this process and what it starts."""

from __future__ import annotations

import subprocess
import sys

import pytest

CODE = """
from cgsam_edge.bulk import on_ray
on_ray._ray()
from ray._common.usage import usage_lib
print(usage_lib.usage_stats_enabled())
"""


@pytest.mark.parametrize(("wanted", "shown"), [("", "False"), ("1", "True")])
def test_usage_statistics_are_off_unless_the_user_wants_telemetry(
    wanted: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray", reason="the extra 'ray' is not installed")
    monkeypatch.delenv("RAY_USAGE_STATS_ENABLED", raising=False)
    monkeypatch.setenv("CGSAM_ENGINE_TELEMETRY", wanted)
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stdout.split()[-1] == shown
