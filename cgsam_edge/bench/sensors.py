"""What the system reports about itself: load, memory, temperature, clock, power supply. Linux reports most of it."""

from __future__ import annotations

import os
import platform
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cgsam_edge.bench.measurement import Machine
from cgsam_edge.runtimes.protocol import cores

ROOT = Path("/")


@dataclass(frozen=True)
class CpuTime:
    """Seconds of processor time since the machine started, of all cores together.

    Attributes:
        busy: spent on any program.
        stolen: time that a virtual machine's host gave to others.
        total: busy, stolen or idle.
    """

    busy: float
    stolen: float
    total: float


class Sensors:
    """Reads the system's files; values that are not reported are None.

    Args:
        root: of the file system; a test gives its own.
    """

    def __init__(self, root: Path = ROOT) -> None:
        self._root = root

    def cpu_time(self) -> CpuTime | None:
        """Return the processor's time so far."""
        head = self._read("proc/stat").partition("\n")[0].split()
        if len(head) < 9 or head[0] != "cpu":
            return None
        ticks = [int(tick) / _ticks() for tick in head[1:9]]  # user nice system idle iowait irq softirq steal
        busy = sum(ticks[:3]) + ticks[5] + ticks[6]
        return CpuTime(busy, ticks[7], sum(ticks))

    def memory(self) -> tuple[int, int] | None:
        """Return the total bytes of memory, and those still available."""
        found = {}
        for line in self._read("proc/meminfo").splitlines():
            name, _, value = line.partition(":")
            if name in ("MemTotal", "MemAvailable"):
                found[name] = int(value.split()[0]) * 1024
        return (found["MemTotal"], found["MemAvailable"]) if len(found) == 2 else None

    def temperature(self) -> float | None:
        """Return °C of the hottest zone."""
        told = [self._number(path) for path in self._glob("sys/class/thermal/thermal_zone*/temp")]
        degrees = [value / 1000 for value in told if value is not None and value > 0]
        return max(degrees, default=None)

    def clock(self) -> float | None:
        """Return MHz, the mean of all cores."""
        files = self._glob("sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq")
        told = [value / 1000 for path in files if (value := self._number(path)) is not None]
        if not told:
            lines = self._read("proc/cpuinfo").splitlines()
            told = [float(line.split(":")[1]) for line in lines if line.lower().startswith("cpu mhz")]
        return sum(told) / len(told) if told else None

    def governors(self) -> tuple[str, ...]:
        """Return the names of the cores' frequency governors, each once."""
        files = self._glob("sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor")
        return tuple(dict.fromkeys(text for path in files if (text := self._text(path))))

    def on_battery(self) -> bool:
        """Whether a battery is being emptied."""
        supplies = self._glob("sys/class/power_supply/*/type")
        return any(
            self._text(path) == "Battery" and self._text(path.with_name("status")) == "Discharging" for path in supplies
        )

    def load(self) -> float | None:
        """Return the number of programs ready to run, averaged over the last minute."""
        text = self._read("proc/loadavg").split()
        if text:
            return float(text[0])
        with suppress(OSError, AttributeError):  # Windows has none
            return os.getloadavg()[0]
        return None

    def machine(self) -> Machine:
        """Return a description of the machine."""
        memory = self.memory()
        system = f"{platform.system()} {platform.release()} {platform.machine()}"
        total = memory[0] if memory else _memory()
        return Machine(system, self._processor(), cores(), os.cpu_count() or 1, total, platform.node())

    def _processor(self) -> str:
        lines = [line.partition(":") for line in self._read("proc/cpuinfo").splitlines()]
        named = {name.strip().lower(): value.strip() for name, _, value in lines}
        board = self._read("proc/device-tree/model").strip("\0 \n")  # the name that an Arm board reports
        return named.get("model name") or board or platform.processor() or platform.machine()

    def _glob(self, pattern: str) -> list[Path]:
        return sorted(self._root.glob(pattern))

    def _read(self, name: str) -> str:
        return self._text(self._root / name, strip=False)

    @staticmethod
    def _text(path: Path, *, strip: bool = True) -> str:
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError:  # missing, not readable for this user, or a sensor that is asleep
            return ""
        return text.strip() if strip else text

    def _number(self, path: Path) -> float | None:
        try:
            return float(self._text(path))
        except ValueError:
            return None


def _ticks() -> int:
    try:
        return os.sysconf("SC_CLK_TCK")
    except (AttributeError, ValueError, OSError):
        return 100


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None
