"""From a bundle and options to a measurement."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from cgsam_edge.bench import cautions, energy, plan
from cgsam_edge.bench.child import BenchRequest
from cgsam_edge.bench.measurement import Configuration, Measurement, Subject
from cgsam_edge.bench.plan import Options
from cgsam_edge.bench.roofline import bandwidth
from cgsam_edge.bench.rounds import Progress, Rounds, groups
from cgsam_edge.bench.sensors import Sensors
from cgsam_edge.bench.tally import Tally
from cgsam_edge.bench.watch import Watch
from cgsam_edge.bundle import Bundle
from cgsam_edge.errors import BackendError
from cgsam_edge.runtimes import children, registry, trial

_NOTES = (
    "one concept: from a picture in memory to a mask of its size; 'rest' is the part of that time that no graph takes.",
    "one click: on an encoded image, after another click on the same concept.",
)


def measure(bundle: Bundle, options: Options, progress: Progress = lambda _: None) -> Measurement:
    """Measure a bundle on this machine.

    Args:
        bundle: the bundle.
        options: how.
        progress: receives one line of progress at a time.

    Raises:
        BackendError: a requested engine or device is missing, no engine runs the bundle, or no Python can be started.
        BundleError: a file of the bundle is missing or altered.
        ImageError: the picture cannot be used.
        InputError: there is no picture.
        UnknownConceptError: the bundle does not hold the concept.
    """
    if children.unavailable():
        raise BackendError(f"{children.unavailable()}, and each engine is measured in one.")
    image = plan.picture(bundle, options)
    subject = plan.subject(bundle, options, image)
    bundle.verify()
    found, notes = plan.configurations(bundle, options)
    meter = energy.meter()
    try:
        return _Run(bundle, options, image, subject, meter, progress).measurement(found, notes)
    finally:
        meter.close()


class _Run:
    """What the steps of one measurement share."""

    def __init__(
        self,
        bundle: Bundle,
        options: Options,
        image: Image.Image,
        subject: Subject,
        meter: energy.Meter,
        progress: Progress,
    ) -> None:
        self._bundle, self._options, self._image, self._subject = bundle, options, image, subject
        self._meter, self._progress = meter, progress
        self._sensors = Sensors()
        self._notes = list(_NOTES)
        self._warnings: list[str] = []

    def measurement(self, found: Sequence[Configuration], notes: Sequence[str]) -> Measurement:
        """Run everything and return the measurement."""
        self._notes += notes
        machine, watch = self._sensors.machine(), Watch(self._sensors)
        conditions = cautions.Conditions(
            machine,
            self._options.threads,
            load=self._sensors.load(),
            governors=self._sensors.governors(),
            battery=self._sensors.on_battery(),
        )
        self._warnings += cautions.before(conditions)
        tallies = self._run([Tally(one, self._precision(one)) for one in found], watch)
        reference = _reference(tallies)
        rows = tuple(tally.row(None if reference is None else reference.masks) for tally in tallies)
        samples = tuple(watch.samples)
        return Measurement(
            time.strftime("%Y-%m-%d %H:%M:%S %z"),
            machine,
            self._subject,
            rows,
            samples,
            (*self._warnings, *cautions.after(rows, samples, machine)),
            tuple(self._notes),
            "" if reference is None else f"{reference.configuration.key}, {reference.arithmetic}",
            self._meter.source,
            bandwidth(self._options.threads) if self._options.roofline else None,
        )

    def _run(self, tallies: list[Tally], watch: Watch) -> list[Tally]:
        """Run every configuration that opens and has a distinct arithmetic."""
        with tempfile.TemporaryDirectory(prefix="cgsam-bench-") as name:
            folder = Path(name)
            np.save(folder / "picture.npy", np.asarray(self._image))
            requests = {tally.configuration.key: self._request(tally.configuration, folder) for tally in tallies}
            rounds = Rounds(self._options, requests, folder, watch, self._meter, self._progress)
            tallies = self._start(tallies, rounds)
            able = [tally for tally in tallies if not tally.problem]
            if not able:
                reasons = "".join(f"\n  {tally.configuration.key}: {tally.problem}" for tally in tallies)
                raise BackendError(f"no engine can run this bundle here:{reasons}")
            memory = self._sensors.memory()
            together = list(groups(able, None if memory is None else memory[1]))
            if len(together) > 1:
                self._warnings.append(
                    f"memory has no room for all configurations at once: they ran in {len(together)} groups, one after "
                    "the other, and drift affects only the members of a group alike."
                )
            for group in together:
                rounds.run(group)
        return tallies

    def _start(self, tallies: list[Tally], rounds: Rounds) -> list[Tally]:
        """Start all as often as requested; leave out those whose arithmetic is the engine's default."""
        rounds.start_cold(tallies, cached=False)
        kept: dict[tuple[str, str, str], Tally] = {}
        for tally in tallies:
            one = tally.configuration
            seen = kept.setdefault((one.backend, one.device, tally.problem or tally.arithmetic), tally)
            if seen is not tally and not tally.problem:
                self._notes.append(f"left out: {one.key} computes in {tally.arithmetic}, as by default.")
        for _ in range(self._options.starts):
            rounds.start_cold(list(kept.values()), cached=True)
        return list(kept.values())

    def _request(self, one: Configuration, folder: Path) -> BenchRequest:
        return BenchRequest(
            trial.path_of(registry.find(one.backend)),
            str(self._bundle.path),
            one.target,
            one.device,
            one.precision,
            self._options.threads,
            str(folder / "picture.npy"),
            self._subject.concepts,
        )

    def _precision(self, one: Configuration) -> str:
        """Return the precision, or precisions, of the stored weights."""
        return "+".join(sorted({graph.precision for graph in self._bundle.graphs(one.target).values()}))


def _reference(tallies: Sequence[Tally]) -> Tally | None:
    """Return the first that computed in float32 and has masks."""
    return next((tally for tally in tallies if tally.masks is not None and tally.arithmetic == "float32"), None)
