"""The description of the interface, ``/openapi.json``: what FastAPI cannot read from the functions."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from cgsam_edge.serve.refusal import MEDIA_TYPE, title
from cgsam_edge.serve.schemas import Problem, SegmentOptions, SegmentRequest
from cgsam_edge.serve.settings import ServeSettings

_PLACE = "#/components/schemas/"
_PICTURE = {"type": "string", "format": "binary", "description": "A picture's file: JPEG, PNG, WebP, TIFF, BMP, GIF."}
_MOST_NAMED = 500
"""Vocabularies up to this size are listed."""

_WHY = {
    401: "The token is missing or wrong.",
    403: "Another site's page, or a host name that is not the server's.",
    404: "No picture has this handle (any more).",
    408: "The body came too slowly.",
    413: "The body or the picture is too big.",
    415: "The body's type, or the picture's format, is not one of those expected.",
    422: "The body cannot be used; the detail says where.",
    429: "The queue is full; Retry-After says when to come back.",
    500: "The engine failed.",
    503: "Too busy, or stopping.",
}
ALWAYS = (401, 403, 503)
POSTED = (*ALWAYS, 408, 413, 415, 422, 429, 500)

PICTURE_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "properties": {"image": _PICTURE},
                "required": ["image"],
                "additionalProperties": False,
            }
        }
    },
}
QUESTION_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "application/json": {"schema": {"$ref": _PLACE + "SegmentRequest"}},
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "properties": {"image": _PICTURE, "request": {"$ref": _PLACE + "SegmentOptions"}},
                "required": ["image"],
                "additionalProperties": False,
            },
            "encoding": {"request": {"contentType": "application/json"}},
        },
    },
}
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_OTHER = ("image/png", "application/zip", "application/xml", "text/plain")
OTHER_FORMATS: dict[str, Any] = {
    **dict.fromkeys(_OTHER, _BINARY),
    "application/geo+json": {"schema": {"type": "object"}},
}
_OF_JSON = {
    "anyOf": [
        {"$ref": _PLACE + "Masks"},
        {"type": "object", "not": {"required": ["concepts"]}, "description": "A dataset's file, such as COCO's."},
        {"type": "array", "description": "A dataset's file that is a list, such as Label Studio's."},
    ]
}


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the descriptions of these refusals."""
    content = {MEDIA_TYPE: {"schema": {"$ref": _PLACE + "Problem"}}}
    return {status: {"description": f"{title(status)}. {_WHY[status]}", "content": content} for status in statuses}


def describe(app: FastAPI, names: tuple[str, ...], settings: ServeSettings) -> dict[str, Any]:
    """Return the description.

    Args:
        app: the application.
        names: names and synonyms of the bundle's concepts.
        settings: whether a token is needed.
    """
    made = get_openapi(
        title=app.title, version=app.version, summary=app.summary, description=app.description, routes=app.routes
    )
    schemas: dict[str, Any] = made.setdefault("components", {}).setdefault("schemas", {})
    for model in (Problem, SegmentOptions, SegmentRequest):
        schemas |= _schemas(model)
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    made["paths"]["/segment"]["post"]["responses"]["200"]["content"]["application/json"]["schema"] = _OF_JSON
    if len(names) <= _MOST_NAMED:
        _list_concepts(schemas, sorted(set(names)))
    if settings.token is not None:
        made["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        for operation in (one for path in made["paths"].values() for one in path.values()):
            operation.setdefault("security", [{"token": []}])
    return made


def _schemas(model: type[BaseModel]) -> dict[str, Any]:
    made = model.model_json_schema(ref_template=_PLACE + "{model}")
    return {**made.pop("$defs", {}), model.__name__: made}


def _list_concepts(schemas: dict[str, Any], names: list[str]) -> None:
    schemas["ConceptPrompt"]["properties"]["concept"]["enum"] = names
    for model in ("SegmentOptions", "SegmentRequest"):
        for choice in schemas[model]["properties"]["concepts"]["anyOf"]:
            if choice.get("type") == "array":
                choice["items"]["enum"] = names
