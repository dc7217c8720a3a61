"""The page ``/docs``: the description of the interface as a person reads it, without any script."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from cgsam_edge.page.document import card, page, scrolling, section
from cgsam_edge.page.markup import Html, tag

_MOST_NAMES = 12


def api_page(described: dict[str, Any]) -> str:
    """Return the page.

    Args:
        described: the OpenAPI description.
    """
    info, schemas = described["info"], described["components"]["schemas"]
    head = tag("h1", f"{info['title']} {info['version']}")
    lead = tag("p", f"{info['summary']} The same as OpenAPI: ", tag("a", "openapi.json", href="openapi.json"), ".")
    operations = [
        _operation(method, path, operation)
        for path, methods in described["paths"].items()
        for method, operation in methods.items()
    ]
    models = [_model(name, schema) for name, schema in schemas.items()]
    return page(
        f"{info['title']}: interface",
        [
            tag("header", head, lead),
            section("Requests", "", *operations),
            section("Types", "Fields in bold are required.", *models),
        ],
        "This page loads nothing from elsewhere.",
    )


def _operation(method: str, path: str, operation: dict[str, Any]) -> Html:
    text = operation.get("description", "")
    rows = [
        tag("tr", tag("td", str(status)), tag("td", *_types(answer)), tag("td", answer["description"]))
        for status, answer in operation["responses"].items()
    ]
    bodies = operation.get("requestBody", {}).get("content", {})
    taken = [tag("p", "Body: ", tag("b", kind), " ", *_shape(body["schema"])) for kind, body in bodies.items()]
    head = tag("h3", f"{method.upper()} {path}")
    return card(head, tag("p", text), *taken, scrolling(tag("table", tag("tbody", *rows))))


def _types(answer: dict[str, Any]) -> Iterator[str]:
    for i, (kind, content) in enumerate(answer.get("content", {}).items()):
        yield from (", " if i else "", kind, " ", *_shape(content.get("schema", {})))


def _shape(schema: dict[str, Any]) -> Iterator[str]:
    """Yield a schema in a few words."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        yield tag("a", name, href=f"#{name}")
    elif "anyOf" in schema:
        for i, one in enumerate(schema["anyOf"]):
            yield from (" or " if i else "", *_shape(one))
    elif "enum" in schema:
        yield _names(schema["enum"])
    elif schema.get("type") == "array":
        yield from ("list of ", *_shape(schema.get("items", {})))
    elif "properties" in schema:
        for i, (name, one) in enumerate(schema["properties"].items()):
            yield from (", " if i else "", tag("b", name), ": ", *_shape(one))
    else:
        yield schema.get("format") or schema.get("type", "")


def _names(values: list[Any]) -> str:
    shown = ", ".join(json.dumps(value, ensure_ascii=False) for value in values[:_MOST_NAMES])
    return shown + (f" and {len(values) - _MOST_NAMES} more" if len(values) > _MOST_NAMES else "")


def _model(name: str, schema: dict[str, Any]) -> Html:
    required = schema.get("required", ())
    rows = [
        tag(
            "tr",
            tag("td", tag("b", field) if field in required else field),
            tag("td", *_shape(one)),
            tag("td", one.get("description", "")),
        )
        for field, one in schema.get("properties", {}).items()
    ]
    table = scrolling(tag("table", tag("tbody", *rows)))
    return card(tag("h3", name, id=name), tag("p", schema.get("description", "")), table)
