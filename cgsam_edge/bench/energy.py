"""Energy of the whole machine, idle parts included, if the platform reports it: a counter in joules that only grows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

NOT_TOLD = "not reported"

_PERIOD = 0.1
"""Seconds between two readings of a rail that reports power instead of energy."""

_INA = ("ina219", "ina226", "ina238", "ina3221")
_POWER = re.compile(r"Combined Power.*?: (\d+) mW")


class Meter:
    """A counter of joules.

    Attributes:
        source: description of what is read; `NOT_TOLD` if nothing is.
    """

    source = NOT_TOLD

    def joules(self) -> float | None:
        """Return the energy since some moment in the past; None if it is not reported."""
        return None

    def close(self) -> None:
        """Stop reading."""


class Rapl(Meter):
    """Intel's and AMD's counters of the processor's packages, in microjoules; they wrap around at their maximum."""

    def __init__(self, packages: list[Path]) -> None:
        self._ranges = {path: float((path / "max_energy_range_uj").read_text()) for path in packages}
        self._last = {path: self._read(path) for path in packages}
        self._sum = 0.0
        self.source = f"RAPL, {len(packages)} processor package{'s' * (len(packages) > 1)}, memory and board left out"

    def joules(self) -> float | None:
        """Return the energy since the meter was made; see `Meter.joules`."""
        for path, before in self._last.items():
            now = self._read(path)
            self._sum += now - before if now >= before else now + self._ranges[path] - before
            self._last[path] = now
        return self._sum / 1e6

    @staticmethod
    def _read(path: Path) -> float:
        return float((path / "energy_uj").read_text())


class Rails(Meter):
    """Rails that report power, which is read ten times a second and added up.

    Args:
        watts: returns the power now, or None where a reading failed.
        source: description of what is read.
    """

    def __init__(self, watts: Callable[[], float | None], source: str) -> None:
        self.source = source
        self._watts, self._sum, self._stop = watts, 0.0, threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def joules(self) -> float | None:
        """Return the energy since the meter was made; see `Meter.joules`."""
        return self._sum

    def close(self) -> None:
        """Stop reading; see `Meter.close`."""
        self._stop.set()

    def _watch(self) -> None:
        last = time.perf_counter()
        while not self._stop.wait(_PERIOD):
            now, watts = time.perf_counter(), self._watts()
            if watts is not None:
                self._sum += watts * (now - last)
            last = now


class PowerMetrics(Meter):
    """macOS's ``powermetrics``, which only root may run. Never tried by this project."""

    source = "powermetrics, processor, GPU and neural engine"

    def __init__(self) -> None:
        command = ["/usr/bin/powermetrics", "--samplers", "cpu_power", "-i", str(int(1000 * _PERIOD))]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)  # noqa: S603
        self._sum = 0.0
        threading.Thread(target=self._watch, daemon=True).start()

    def joules(self) -> float | None:
        """Return the energy since the meter was made; see `Meter.joules`."""
        return self._sum

    def close(self) -> None:
        """End the program; see `Meter.close`."""
        self._process.kill()
        self._process.wait()

    def _watch(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if found := _POWER.search(line):
                self._sum += int(found.group(1)) / 1000 * _PERIOD


def meter(root: Path = Path("/")) -> Meter:
    """Return the best meter that this machine lets us read.

    Args:
        root: of the file system; a test gives its own.
    """
    with suppress(OSError, ValueError):  # the counters exist, but only root may read them
        packages = [path for path in sorted(root.glob("sys/class/powercap/*-rapl:*")) if path.name.count(":") == 1]
        if packages:
            return Rapl(packages)
    rails = _rails(root)
    if rails:
        names = ", ".join(name for name, _ in rails)
        return Rails(lambda: _sum_of(rails), f"INA rails {names}")
    if sys.platform == "darwin" and os.geteuid() == 0:
        with suppress(OSError):
            return PowerMetrics()
    return Meter()


def _rails(root: Path) -> list[tuple[str, Callable[[], float | None]]]:
    """Return the rail of the whole board if there is one, otherwise all rails: name and function that reads watts."""
    folders = [*sorted(root.glob("sys/class/hwmon/hwmon*")), *sorted(root.glob("sys/bus/i2c/devices/*/hwmon/hwmon*"))]
    once = {folder.resolve(): folder for folder in folders}  # the same chip under both
    found: list[tuple[str, Callable[[], float | None]]] = []
    for folder in once.values():
        if _text(folder / "name").startswith(_INA):
            found += _rails_of(folder)
    board = [rail for rail in found if rail[0].startswith(("VDD_IN", "POM_5V_IN", "VIN_SYS"))]
    return board or found


def _rails_of(folder: Path) -> list[tuple[str, Callable[[], float | None]]]:
    name = _text(folder / "label") or folder.name
    found = [(name, partial(_scaled, path, 1e-6)) for path in sorted(folder.glob("power[0-9]*_input"))]  # microwatts
    if found:
        return [*found]
    return list(_currents(folder))


def _currents(folder: Path) -> Iterator[tuple[str, Callable[[], float | None]]]:
    for path in sorted(folder.glob("curr[0-9]*_input")):  # milliamperes, and millivolts beside
        number = path.name[4:].partition("_")[0]
        volts = folder / f"in{number}_input"
        if volts.exists():
            name = _text(folder / f"in{number}_label") or f"{folder.name} {number}"
            yield name, partial(_product, path, volts)


def _product(current: Path, voltage: Path) -> float | None:
    amperes, volts = _scaled(current, 1e-3), _scaled(voltage, 1e-3)
    return None if amperes is None or volts is None else amperes * volts


def _sum_of(rails: list[tuple[str, Callable[[], float | None]]]) -> float | None:
    told = [watts for _, read in rails if (watts := read()) is not None]
    return sum(told) if told else None


def _scaled(path: Path, factor: float) -> float | None:
    try:
        return float(_text(path)) * factor
    except ValueError:
        return None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
