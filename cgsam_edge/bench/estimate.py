"""What a bundle will need on a product, from its multiply-adds and bytes and from published rates: an estimate."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from cgsam_edge.bench.products import Product, ProductTable, PublishedRate, Span
from cgsam_edge.bundle import Bundle
from cgsam_edge.errors import BundleError
from cgsam_edge.manifest import TEXT_GRAPHS, GraphSpec
from cgsam_edge.runtimes import registry

CONCEPT_GRAPHS, CLICK_GRAPHS = ("concept", "decoder"), ("decoder",)
"""What runs for each concept, and for a further click on it; every other graph runs once an image."""

PROCESS = {"onnxruntime": 150_000_000, "openvino": 280_000_000}
"""Bytes of a process with Python, this package and the engine, before any graph: docs/scaling.md, less the graphs'."""

ROOM = 3.0
"""Times the weights in float32 that graphs took at most, of all models in docs/evidence/speed.md."""

DECODER_LAG = 2.7
"""Times as long as the image graph that the decoder took for each multiply-add, at most, in docs/guides/engines.md."""

PACKAGES = {"onnxruntime": 320_000_000, "openvino": 430_000_000}
"""Bytes on disk of Python's packages with the engine, as installed on Linux x86-64: docs/devices/docker.md."""

_BYTES = {"fp32": 4.0, "fp16": 2.0, "int8": 1.0, "int4": 0.5}
"""Of a stored weight, for bundles that do not say how many parameters they have."""

IN_INTEGERS = ("int8", "int4")
"""Precisions of graphs that are estimated at the rate of INT8, where the device has one."""


Taken = Callable[[GraphSpec, int], Span]
"""From a graph and its multiply-adds to milliseconds."""


@dataclass(frozen=True)
class PlannedRun:
    """One way to run a bundle on a product.

    Attributes:
        engine: the backend.
        device: what of the product computes.
        arithmetic: of the linear layers.
        image: milliseconds of what runs once an image.
        concept: milliseconds of each concept.
        click: milliseconds of a further click on a concept.
        memory: bytes of the process at its peak, with a picture of a megapixel.
        disk: bytes of the bundle's files that this engine needs.
        packages: bytes of Python's packages; None where that is not known.
        source: of the rate.
        remarks: what else is known of this estimate.
    """

    engine: str
    device: str
    arithmetic: str
    image: Span
    concept: Span
    click: Span
    memory: Span | None
    disk: int
    packages: int | None
    source: str
    remarks: tuple[str, ...] = ()


def runs(bundle: Bundle, product: Product, products: ProductTable) -> Iterator[PlannedRun]:
    """Yield a line for each published rate of a product that the bundle can use.

    Raises:
        BundleError: the manifest does not say how many multiply-adds a graph has.
    """
    for rate in product.rates:
        backend = registry.BACKENDS[rate.engine]
        target = registry.target(backend, bundle.manifest.targets)
        if target is not None and _suits(rate, bundle.graphs(target).values()):
            yield _run(bundle, target, rate, _taken_by(product, rate, products), products)


def _suits(rate: PublishedRate, graphs: Iterable[GraphSpec]) -> bool:
    """Whether any graph of the bundle computes in the arithmetic that was measured."""
    return rate.arithmetic != "int8" or any(graph.precision in IN_INTEGERS for graph in graphs)


def _taken_by(product: Product, rate: PublishedRate, products: ProductTable) -> Taken:
    """Return what estimates a graph: one in float does not run at the rate of INT8."""
    same = [one for one in product.rates if (one.engine, one.device) == (rate.engine, rate.device)]
    floats = next((one for one in same if one.arithmetic != "int8"), rate)

    def taken(graph: GraphSpec, macs: int) -> Span:
        used = floats if rate.arithmetic == "int8" and graph.precision not in IN_INTEGERS else rate
        return products.taken(used, macs)

    return taken


def _run(bundle: Bundle, target: str, rate: PublishedRate, taken: Taken, products: ProductTable) -> PlannedRun:
    image, concept, click = (times(bundle, target, names, taken) for names in groups(bundle, target))
    source = products.sources[rate.source]
    return PlannedRun(
        rate.engine,
        rate.device,
        rate.arithmetic,
        image,
        concept,
        click,
        memory=memory(bundle, target, rate.engine),
        disk=disk(bundle, target),
        packages=PACKAGES.get(rate.engine),
        source=f"{source.title}; {source.url}",
        remarks=tuple(_remarks(rate)),
    )


def _remarks(rate: PublishedRate) -> Iterator[str]:
    if rate.note:
        yield rate.note
    if rate.device != "CPU":
        yield "what the device's driver and libraries take is not in the memory"


def groups(bundle: Bundle, target: str) -> tuple[tuple[str, ...], ...]:
    """Return the names of the graphs that run once an image, for each concept, and for a further click."""
    once = tuple(name for name in bundle.graphs(target) if name not in (*CONCEPT_GRAPHS, *TEXT_GRAPHS))
    return once, CONCEPT_GRAPHS, CLICK_GRAPHS


def times(bundle: Bundle, target: str, names: Iterable[str], taken: Taken) -> Span:
    """Return the milliseconds of some graphs together.

    Raises:
        BundleError: the manifest does not say how many multiply-adds one has.
    """
    each = {name: taken(bundle.graphs(target)[name], _macs(bundle, name)) for name in names}
    lag = {"decoder": DECODER_LAG}
    return Span(sum(one.low for one in each.values()), sum(lag.get(name, 1.0) * one.high for name, one in each.items()))


def _macs(bundle: Bundle, graph: str) -> int:
    macs = bundle.manifest.macs(graph)
    if macs is None:
        raise BundleError(
            f"{bundle.path}: its manifest does not say how many multiply-adds the graph {graph!r} has, so no time can "
            "be estimated. Export it again."
        )
    return macs


def disk(bundle: Bundle, target: str) -> int:
    """Return the bytes of what one target needs: its graphs, and all that is no graph of another."""
    files = bundle.manifest.files
    others = {
        file
        for name, graphs in bundle.manifest.targets.items()
        for graph in graphs.values()
        if name != target
        for file in bundle.files_of(graph.path)
    }
    own = {file for graph in bundle.graphs(target).values() for file in bundle.files_of(graph.path)}
    return sum(spec.size for name, spec in files.items() if name in own or name not in others)


def memory(bundle: Bundle, target: str, engine: str) -> Span | None:
    """Return the bytes of the process at its peak; None for an engine of which no process was measured."""
    process = PROCESS.get(engine)
    if process is None:
        return None
    graphs = {name: graph for name, graph in bundle.graphs(target).items() if name not in TEXT_GRAPHS}
    stored = sum(bundle.manifest.files[file].size for one in graphs.values() for file in bundle.files_of(one.path))
    weights = sum(_weights(bundle, name, graph) for name, graph in graphs.items())
    return Span(process + min(stored, weights), process + ROOM * weights)


def _weights(bundle: Bundle, name: str, graph: GraphSpec) -> float:
    """Return the bytes of a graph's weights in float32."""
    cost = bundle.manifest.cost.get(name)
    parameters = cost.get("parameters") if isinstance(cost, dict) else None
    if isinstance(parameters, int) and parameters > 0:
        return 4.0 * parameters
    stored = sum(bundle.manifest.files[file].size for file in bundle.files_of(graph.path))
    return 4.0 * stored / _BYTES.get(graph.precision, 1.0)
