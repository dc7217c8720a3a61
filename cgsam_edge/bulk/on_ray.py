"""Labelling on a cluster: Ray Data schedules, retries, and bounds memory; an actor holds one open engine."""

from __future__ import annotations

import os
import secrets
import socket
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from cgsam_edge.bulk.processes import DIED
from cgsam_edge.bulk.recipe import Recipe
from cgsam_edge.bulk.rows import COLUMNS, LabelRow
from cgsam_edge.bulk.urls import library
from cgsam_edge.bulk.worker import Labeller
from cgsam_edge.errors import BackendError, CgsamError
from cgsam_edge.runtimes import telemetry
from cgsam_edge.wording import amount

if TYPE_CHECKING:
    import numpy as np
    import ray.data
    from numpy.typing import NDArray

    from cgsam_edge.bulk.sources import PictureRef

AUTO = "auto"
"""The cluster that the environment variable RAY_ADDRESS names, or one that is started here for the run."""

_LARGEST_BLOCK = 16
"""Pictures in a block of work: what is done again if a machine is lost, and what memory is bounded by."""

_BLOCKS_A_WORKER = 8
_QUIET = {"RAY_DATA_LOG_LEVEL": "CRITICAL", "RAY_BACKEND_LOG_LEVEL": "fatal", "RAY_DATA_DISABLE_PROGRESS_BARS": "1"}
"""Ray's own lines stay in its log files."""
_TOKENS = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
"""Where Ray looks for a cluster's token before it looks into the home folder."""

_ADDRESS = "Give the address of its head, such as 10.0.0.1:6379, or 'auto' for one on this machine."
_SHORT = (
    "If the path of the folder for temporary files is long, name a short one in the environment variable RAY_TMPDIR."
)

_TRIES = 2
_AHEAD = 2
_SECONDS = 10.0


class RayLabeller:
    """`Labeller` as a class that `ray.data.Dataset.map_batches` calls with batches of numpy arrays.

    Args:
        recipe: checked.
        tells: whether an engine that fails becomes a row without a name, with its error, in place of an exception,
            which Ray would repeat with all its frames.
    """

    def __init__(self, recipe: Recipe, *, tells: bool = False) -> None:
        self._recipe, self._tells = recipe, tells
        self._labeller: Labeller | None = None

    def __call__(self, batch: dict[str, NDArray[np.generic]]) -> dict[str, list[str]]:
        """Label a batch."""
        try:
            rows = self._rows(batch)
        except CgsamError as error:
            if not self._tells:
                raise
            rows = [LabelRow("", error=str(error))]
        return {name: [getattr(row, name) for row in rows] for name in COLUMNS}

    def _rows(self, batch: dict[str, NDArray[np.generic]]) -> list[LabelRow]:
        if self._labeller is None:
            self._labeller = Labeller(self._recipe)
        count = len(next(iter(batch.values()), ()))
        return [self._labeller.label({name: values[i] for name, values in batch.items()}) for i in range(count)]


def labelled_dataset(
    dataset: ray.data.Dataset, recipe: Recipe, workers: int, *, tells: bool = False, ahead: int = _AHEAD
) -> ray.data.Dataset:
    """Return the data set of labels; lazy. A task whose worker dies is tried once more, and a dead worker replaced.

    Args:
        dataset: rows as `Labeller.label` takes them.
        recipe: checked.
        workers: number of actors.
        tells: see `RayLabeller`.
        ahead: blocks that each actor has in hand; those that wait are lost with the one that kills it.
    """
    data = _ray().data
    with warnings.catch_warnings():  # Ray 2.64 will name otherwise what bounds the tries; the extra stays below it
        warnings.filterwarnings("ignore", message=".*ray_remote_args")
        made: ray.data.Dataset = dataset.map_batches(
            RayLabeller,
            fn_constructor_args=(recipe,),
            fn_constructor_kwargs={"tells": tells},
            batch_size=None,  # a block is a batch: Ray would join small blocks, and lose them together
            batch_format="numpy",
            compute=data.ActorPoolStrategy(size=workers, max_tasks_in_flight_per_actor=ahead),
            num_cpus=recipe.threads or 1,
            max_restarts=-1,
            max_task_retries=_TRIES - 1,
        )
    return made


def label_on_ray(refs: Sequence[PictureRef], recipe: Recipe, workers: int, address: str) -> Iterator[LabelRow]:
    """Yield a label for each picture, in the order in which they are ready.

    Pictures whose block was lost, because a picture in it took its worker down again and again, are labelled in a
    second pass, each in a block alone; what is lost then is reported in the row's ``error``.

    Args:
        refs: pictures, which the workers read.
        recipe: checked; the bundle lies under the same path on all machines.
        workers: number of actors.
        address: of the cluster, or `AUTO`.

    Raises:
        MissingLibraryError: Ray is not installed.
        BackendError: the cluster cannot be reached or has too few CPUs, or a worker cannot open its engine.
    """
    with _connected(address, recipe, workers):
        left = {ref.name: ref for ref in refs}
        size = max(1, min(_LARGEST_BLOCK, len(left) // (workers * _BLOCKS_A_WORKER)))
        for rows, ahead in ((size, _AHEAD), (1, 1)):
            for row in _pass(list(left.values()), recipe, workers, rows, ahead):
                if left.pop(row.name, None) is not None:
                    yield row
        for ref in left.values():
            yield LabelRow(ref.name, ref.stamp, error=DIED)


def _pass(refs: list[PictureRef], recipe: Recipe, workers: int, size: int, ahead: int) -> Iterator[LabelRow]:
    if not refs:
        return
    ray, arrow = _ray(), library("pyarrow")
    parts = (refs[i : i + size] for i in range(0, len(refs), size))
    tables = [arrow.Table.from_pylist([ref._asdict() for ref in part]) for part in parts]
    dataset = labelled_dataset(ray.data.from_arrow(tables), recipe, workers, tells=True, ahead=ahead)
    try:
        batches: Any = dataset.iter_batches(batch_size=None, batch_format="pyarrow")
        for batch in batches:
            for row in map(LabelRow.of, batch.to_pylist()):
                if not row.name:
                    raise BackendError(row.error)
                yield row
    except ray.exceptions.RayError as error:
        raise BackendError(f"Ray could not go on: {str(error).strip().splitlines()[-1]}") from error


@contextmanager
def _connected(address: str, recipe: Recipe, workers: int) -> Iterator[None]:
    """Connect to a cluster, or start one here, for the block."""
    ray = _ray()
    ours, token = not ray.is_initialized(), os.environ.get(_TOKENS[0])
    try:
        if ours:
            _connect(ray, address, workers * (recipe.threads or 1))
        _check_cpus(ray, workers, recipe.threads or 1)
        context = ray.data.DataContext.get_current()
        context.max_errored_blocks = -1  # a lost block is labelled picture by picture
        context.enable_progress_bars = False
        yield
    finally:
        if ours:
            ray.shutdown()
            if token is None:
                os.environ.pop(_TOKENS[0], None)  # of the cluster that has ended


def _ray() -> Any:
    """Import Ray with its usage statistics off."""
    telemetry.silence()
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    library("ray.data")
    return library("ray")


def _connect(ray: Any, address: str, cpus: int) -> None:
    quiet = {"log_to_driver": False, "logging_level": "ERROR", "configure_logging": True}
    named = os.environ.get("RAY_ADDRESS", "") if address == AUTO else address
    try:
        if named:
            _reach(named)
            ray.init(address=named, **quiet)
        else:  # "auto" of Ray would also join a cluster that another run started and will end
            _keep_token_in_memory()
            here = {"include_dashboard": False, "_node_ip_address": "127.0.0.1"}
            with _without_statistics():
                ray.init(address="local", num_cpus=max(cpus, os.cpu_count() or 1), **here, **quiet)
    except Exception as error:  # Ray's errors have no common base here
        why, wrong, way = f"({type(error).__name__}: {error})", "cannot start a cluster here", _SHORT
        if named:
            wrong, way = f"has no cluster that can be reached at {named}", _ADDRESS
        raise BackendError(f"--cluster {address}: Ray {wrong} {why}. {way}") from error


@contextmanager
def _without_statistics() -> Iterator[None]:
    """Leave out the process that reports usage statistics, unless they are wanted.

    Even with statistics off, it would ask the metadata services of three clouds where it runs.
    """
    services: Any = library("ray._private.services")
    start = getattr(services, "start_api_server", None)
    if start is not None and not telemetry.wanted():
        services.start_api_server = lambda *_, **__: (None, None)  # what it returns where the process cannot start
    try:
        yield
    finally:
        if start is not None:
            services.start_api_server = start


def _keep_token_in_memory() -> None:
    """Give a new cluster a token for this run's processes: Ray would leave one in the home folder."""
    kept = Path("~/.ray/auth_token").expanduser().exists()
    if not kept and not any(name in os.environ for name in _TOKENS):
        os.environ[_TOKENS[0]] = secrets.token_hex(32)


def _reach(address: str) -> None:
    """Open and close a connection to the cluster's head: Ray itself would wait for it for minutes."""
    found = urlsplit(address if "://" in address else f"//{address}")
    if found.hostname is None or found.port is None:
        raise ConnectionError("not the address of a machine with a port")
    socket.create_connection((found.hostname, found.port), _SECONDS).close()


def _check_cpus(ray: Any, workers: int, threads: int) -> None:
    cpus = int(ray.cluster_resources().get("CPU", 0))
    if cpus < workers * threads:
        raise BackendError(
            f"{amount(workers, 'worker')} with {amount(threads, 'thread')} each need {workers * threads} CPUs, and the "
            f"cluster has {cpus}. "
            "Take fewer with --workers or --threads."
        )
