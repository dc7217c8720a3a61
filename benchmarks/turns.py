"""Turns: each contender starts, measures a little, and ends; then the next one does, round after round.

One runs at a time, so a machine needs memory for the largest alone; rounds repeat, so drift affects all alike. Each
turn is saved as it ends, and an interrupted run continues from there.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.runners import Request
from cgsam_edge._schema import decode
from cgsam_edge.bench.sensors import Sensors
from cgsam_edge.bench.watch import Watch
from cgsam_edge.errors import BackendError, BundleError
from cgsam_edge.files import write_beside
from cgsam_edge.runtimes import cache
from cgsam_edge.runtimes.children import Child

PATIENCE = 10
"""How many times `children.STEP_LIMIT` a step may take: ``torch.compile`` takes minutes for a large model."""


@dataclass(frozen=True)
class Turn:
    """What one turn measured.

    Attributes:
        key: of the contender.
        identity: of all that its numbers depend on; a turn of another identity is not used.
        number: of the round, from 0.
        cold: seconds from the start of the process to the first mask.
        times: milliseconds of each run, by what was run.
        peak_memory: bytes that the process ever had resident at most; None where the system does not report it.
        others: cores that other programs kept busy meanwhile; None likewise.
        when: local time at its end.
    """

    key: str
    identity: str
    number: int
    cold: float
    times: dict[str, tuple[float, ...]]
    peak_memory: int | None
    others: float | None
    when: str = ""


class Store:
    """Turns in a file.

    Args:
        path: JSON; it need not be there.
        identities: of the contenders, by key; turns of others are dropped.
    """

    def __init__(self, path: Path, identities: Mapping[str, str]) -> None:
        self._path = path
        self.turns = [turn for turn in _read(path) if identities.get(turn.key) == turn.identity]

    def has(self, key: str, number: int) -> bool:
        """Whether a contender had its turn in a round."""
        return any((turn.key, turn.number) == (key, number) for turn in self.turns)

    def add(self, turn: Turn) -> None:
        """Keep a turn.

        Raises:
            OutputError: the file cannot be written.
        """
        self.turns.append(turn)
        text = json.dumps([asdict(one) for one in self.turns], indent=1)
        write_beside(self._path, lambda beside: beside.write_text(text, encoding="utf-8"))


def _read(path: Path) -> list[Turn]:
    """Return the turns in the file; none if it is of another version, which is then measured again."""
    with suppress(OSError, ValueError, TypeError, BundleError):
        return [decode(Turn, value, str(path)) for value in json.loads(path.read_text(encoding="utf-8"))]
    return []


@dataclass(frozen=True)
class Task:
    """The work of a contender in its turns.

    Attributes:
        key: of the contender.
        identity: see `Turn`.
        request: what its process opens.
        commands: of `child`, by what the times are called.
        logits: where the first turn writes the logits of all concepts; None for nowhere.
        labelled: command of `child` with which the first turn measures quality on labels; None where none are known.
        caches: folder for what engines compile.
    """

    key: str
    identity: str
    request: Request
    commands: Mapping[str, dict[str, Any]]
    caches: Path
    logits: Path | None = None
    labelled: dict[str, Any] | None = None


@dataclass
class Rounds:
    """Takes turns.

    Args:
        store: holder of all turns.
        tasks: in the order of the first round.
        rounds: number of rounds.
        tell: takes lines of progress.

    Attributes:
        problems: why a contender has no turn, by key.
    """

    store: Store
    tasks: Sequence[Task]
    rounds: int
    tell: Callable[[str], None]
    problems: dict[str, str] = field(default_factory=dict)

    def run(self) -> None:
        """Take all turns that the store lacks; a contender that fails is left out from then on."""
        missing = [(n, task) for n in range(self.rounds) for task in _shifted(self.tasks, n) if self._lacks(task, n)]
        held = len(self.tasks) * self.rounds - len(missing)
        if held:
            self.tell(f"{held} of {held + len(missing)} turns were measured before")
        began = time.perf_counter()
        for i, (number, task) in enumerate(missing):
            if task.key not in self.problems:
                self._turn(task, number)
                left = (time.perf_counter() - began) / (i + 1) * (len(missing) - i - 1)
                self.tell(f"[{held + i + 1}/{held + len(missing)}] {self._last(task)}; about {left / 60:.0f} min left")

    def _lacks(self, task: Task, number: int) -> bool:
        return not self.store.has(task.key, number)

    def _turn(self, task: Task, number: int) -> None:
        try:
            self.store.add(measure(task, number))
        except BackendError as error:
            self.problems[task.key] = str(error)

    def _last(self, task: Task) -> str:
        if task.key in self.problems:
            return f"{task.key}: {self.problems[task.key]}"
        turn = self.store.turns[-1]
        times = ", ".join(f"{name} {min(times):.0f} ms" for name, times in turn.times.items())
        return f"{task.key}: {turn.cold:.1f} s to the first mask, {times}"


def _shifted(tasks: Sequence[Task], number: int) -> list[Task]:
    """Return the order of a round, so that no contender always follows the same one."""
    shift = number % max(len(tasks), 1)
    return [*tasks[shift:], *tasks[:shift]]


def measure(task: Task, number: int) -> Turn:
    """Take one turn.

    Raises:
        BackendError: the child failed, crashed or hangs.
    """
    watch = Watch(Sensors())
    with Child("benchmarks.child", _variables(task.caches)) as child:
        watch.begin([child])
        child.send(asdict(task.request))
        done, _ = child.next("segmenting for the first time", PATIENCE)
        if task.logits is not None and number == 0:
            child.ask({"do": "logits", "file": str(task.logits)}, "computing masks", PATIENCE)
        if task.labelled is not None and number == 0:
            child.ask(task.labelled, "segmenting labelled scenes", PATIENCE)
        told = {name: child.ask(command, steps=PATIENCE) for name, command in task.commands.items()}
        sample = watch.look()
        cold = done - child.started
    peak = max((one["peak_memory"] or 0 for one in told.values()), default=0)
    times = {name: tuple(one["milliseconds"]) for name, one in told.items()}
    when = time.strftime("%Y-%m-%d %H:%M:%S %z")
    return Turn(task.key, task.identity, number, cold, times, peak or None, sample.others, when)


def _variables(caches: Path) -> dict[str, str]:
    """Return environment variables for a child that put its caches into the benchmark's folder."""
    own = {cache.ENVIRONMENT: caches / "cgsam", "TORCHINDUCTOR_CACHE_DIR": caches / "inductor"}
    return {name: str(path.absolute()) for name, path in own.items()}
