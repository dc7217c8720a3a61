"""``cgsam plan``: what a bundle would need on a device that is not here."""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from cgsam_edge.cli.engine_options import add_bundle
from cgsam_edge.cli.values import usable
from cgsam_edge.errors import printable

if TYPE_CHECKING:
    from cgsam_edge.bench.estimate import PlannedRun
    from cgsam_edge.bench.estimate_check import MachineCheck
    from cgsam_edge.bench.products import Product, Span
    from cgsam_edge.bundle import Bundle

_HEADER = ("engine", "image", "each concept", "a click", "memory", "bundle", "packages")
_CAUTION = (
    "These are estimates: the bundle's multiply-adds at the rates that published networks reached on the product. "
    "Reading, resizing and drawing pictures are not in them. Measure with cgsam bench once you have the device."
)


def add_parser(commands: Any) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "plan",
        help="estimate time, memory and disk on a device that you do not have yet",
        description="Estimate time, memory and disk of a bundle on products with published figures. With --device "
        "this, measure this machine and compare that with the same estimate.",
    )
    add_bundle(parser)
    parser.add_argument(
        "--device",
        action="append",
        type=_product,
        metavar="NAME",
        help="a product, such as pi5 or orin-nano, or 'this' for this machine; may be repeated (default: all products)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def _product(text: str) -> str:
    from cgsam_edge.bench import products

    if text != products.THIS:
        usable(lambda: products.table().find(text))
    return text


def run(options: argparse.Namespace) -> int:
    """Estimate and print."""
    from cgsam_edge.bench import products
    from cgsam_edge.bundle import Bundle

    known = products.table()
    wanted = dict.fromkeys(options.device or known.products)
    chosen = {name: known.find(name) for name in wanted if name != products.THIS}
    bundle = Bundle(options.bundle)
    bundle.verify()
    planned = {name: _planned(bundle, product) for name, product in chosen.items()}
    checked = _checked(bundle) if products.THIS in wanted else None
    if options.json:
        print(json.dumps(_as_json(bundle, chosen, planned, checked), indent=1))
    else:
        for line in _lines(bundle, chosen, planned, checked):
            print(printable(line))
    return 0


def _planned(bundle: Bundle, product: Product) -> list[PlannedRun]:
    from cgsam_edge.bench import estimate, products

    return list(estimate.runs(bundle, product, products.table()))


def _checked(bundle: Bundle) -> tuple[MachineCheck, ...]:
    from cgsam_edge.bench.estimate_check import check_machine

    return check_machine(bundle, lambda line: print(line, file=sys.stderr, flush=True))


def _as_json(
    bundle: Bundle,
    chosen: dict[str, Product],
    planned: dict[str, list[PlannedRun]],
    checked: tuple[MachineCheck, ...] | None,
) -> dict[str, Any]:
    found: dict[str, Any] = {
        "bundle": bundle.path.name,
        "caution": _CAUTION,
        "products": {
            name: {"name": product.name, "memory_gb": product.memory_gb, "runs": [asdict(one) for one in planned[name]]}
            for name, product in chosen.items()
        },
    }
    if checked is not None:
        found["this"] = [{**asdict(one), "inside": one.inside} for one in checked]
    return found


def _lines(
    bundle: Bundle,
    chosen: dict[str, Product],
    planned: dict[str, list[PlannedRun]],
    checked: tuple[MachineCheck, ...] | None,
) -> Iterator[str]:
    from cgsam_edge.bench.tables import Table

    yield f"{bundle.path.resolve().name}: {bundle.size / 1e6:.1f} MB"
    for name, product in chosen.items():
        yield ""
        title = f"{name}: {product.name}{_sizes(product)}"
        if not planned[name]:
            held = ", ".join(bundle.manifest.targets)
            yield f"{title}\n  no published figure fits this bundle, which holds graphs for {held}"
            continue
        yield Table(title, _HEADER, tuple(_cells(one) for one in planned[name])).text()
        yield from _notes(planned[name])
    if checked is not None:
        yield ""
        yield from _check_lines(checked)
    if chosen:
        yield ""
        yield textwrap.fill(_CAUTION, 110)


def _sizes(product: Product) -> str:
    sizes = " or ".join(f"{size:g}" for size in product.memory_gb)
    return f", sold with {sizes} GB of memory" if len(product.memory_gb) > 1 else ""


def _notes(planned: list[PlannedRun]) -> Iterator[str]:
    for text in dict.fromkeys(remark for one in planned for remark in one.remarks):
        yield f"  note: {text}"
    for text in dict.fromkeys(one.source for one in planned):
        yield f"  source: {text}"


def _cells(one: PlannedRun) -> tuple[str, ...]:
    return (
        f"{one.engine} on {one.device}, {one.arithmetic}",
        _milliseconds(one.image),
        _milliseconds(one.concept),
        _milliseconds(one.click),
        "unknown" if one.memory is None else f"{one.memory.low / 1e6:.0f} to {one.memory.high / 1e6:.0f} MB",
        f"{one.disk / 1e6:.1f} MB",
        "unknown" if one.packages is None else f"{one.packages / 1e6:.0f} MB",
    )


def _milliseconds(span: Span) -> str:
    if span.low >= 10_000:
        return f"{span.low / 1000:.0f} to {span.high / 1000:.0f} s"
    digits = 0 if span.low >= 10 else 1
    return f"{span.low:.{digits}f} to {span.high:.{digits}f} ms"


def _check_lines(checked: tuple[MachineCheck, ...]) -> Iterator[str]:
    from cgsam_edge.bench.tables import Table

    if not checked:
        yield "this machine: no engine here could be measured"
        return
    rows = tuple(
        (
            f"{one.estimate.engine} on {one.estimate.device}, {one.estimate.arithmetic}",
            f"{_milliseconds(one.estimate.image)}: {one.image:.1f}",
            f"{_milliseconds(one.estimate.concept)}: {one.concept:.1f}",
            f"{_milliseconds(one.estimate.click)}: {one.click:.1f}",
            _memory_check(one),
            "inside" if one.inside else "OUTSIDE",
        )
        for one in checked
    )
    title = "this machine, estimated from its matrix products: measured"
    yield Table(title, ("engine", "image", "each concept", "a click", "memory", "measured is"), rows).text()


def _memory_check(one: MachineCheck) -> str:
    span = one.estimate.memory
    estimated = "unknown" if span is None else f"{span.low / 1e6:.0f} to {span.high / 1e6:.0f} MB"
    return f"{estimated}: {'unknown' if one.memory is None else f'{one.memory / 1e6:.0f}'}"
