"""Products that a bundle can be planned for, and how fast published networks ran on them.

`products.json` holds what the named sources say, and nothing else: a product without a published figure is left out.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import lru_cache
from importlib import resources

from cgsam_edge._schema import decode
from cgsam_edge.errors import InputError

THIS = "this"
"""In place of a product: the machine that the command runs on, which is measured."""


_ALIKE = 16
"""Times the multiply-adds up to which a network is comparable with a graph."""


@dataclass(frozen=True)
class Span:
    """From the least to the most that is expected."""

    low: float
    high: float


@dataclass(frozen=True)
class Source:
    """Where a figure stands.

    Attributes:
        title: of the page, and what of it.
        url: its address.
    """

    title: str
    url: str


@dataclass(frozen=True)
class PublishedRate:
    """How long published networks took on one engine of one product.

    Attributes:
        engine: the backend that runs a bundle in this way.
        device: what of the product computes.
        arithmetic: "float32", "float16" or "int8".
        source: of the times, a key of `ProductTable.sources`.
        networks: of the multiply-adds, likewise.
        milliseconds: by network.
        note: what else a reader must know of the figures.
    """

    engine: str
    device: str
    arithmetic: str
    source: str
    networks: str
    milliseconds: dict[str, float]
    note: str = ""


@dataclass(frozen=True)
class Product:
    """What can be bought.

    Attributes:
        name: in full.
        memory_gb: sizes in which the source lists it; empty where it does not say.
        rates: one or more.
    """

    name: str
    memory_gb: tuple[float, ...]
    rates: tuple[PublishedRate, ...]


@dataclass(frozen=True)
class ProductTable:
    """The whole table.

    Attributes:
        products: by the name that the command line takes.
        networks: 10^9 multiply-adds of each published network.
        sources: by key.
    """

    products: dict[str, Product]
    networks: dict[str, float] = field(default_factory=dict)
    sources: dict[str, Source] = field(default_factory=dict)

    def find(self, name: str) -> Product:
        """Return a product by name.

        Raises:
            InputError: the table does not hold it; lists what it holds.
        """
        if name in self.products:
            return self.products[name]
        near = get_close_matches(name.lower(), self.products, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise InputError(
            f"no published figures for {name!r}.{hint} Known: {', '.join(self.products)}; and {THIS!r}, which measures "
            "this machine."
        )

    def taken(self, rate: PublishedRate, macs: int) -> Span:
        """Return the milliseconds that a graph is expected to take.

        A CPU computes at the rates of all published networks. Other devices are slow on small graphs: there, only
        networks of a comparable size count, and a graph smaller than the smallest may take as long as that one.

        Args:
            rate: of the engine.
            macs: multiply-adds of the graph.
        """
        found = sorted((1e9 * self.networks[name], taken) for name, taken in rate.milliseconds.items())
        if rate.device == "CPU":
            return _at(found, macs)
        alike = [one for one in found if macs / _ALIKE <= one[0] <= macs * _ALIKE]
        span = _at(alike or [min(found, key=lambda one: abs(math.log(one[0] / macs)))], macs)
        least, its_time = found[0]
        return Span(span.low, max(span.high, its_time)) if macs < least else span


def _at(networks: list[tuple[float, float]], macs: int) -> Span:
    """Return the milliseconds of a graph at the rates of networks, each as (multiply-adds, milliseconds)."""
    each = [macs * taken / size for size, taken in networks]
    return Span(min(each), max(each))


@lru_cache(maxsize=1)
def table() -> ProductTable:
    """Return the table that comes with the package."""
    text = resources.files("cgsam_edge.bench").joinpath("products.json").read_text(encoding="utf-8")
    return decode(ProductTable, json.loads(text), "products.json")
