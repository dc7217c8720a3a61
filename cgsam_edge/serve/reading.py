"""From a request's body to a picture and a question about it."""

from __future__ import annotations

from typing import TypeVar

from pydantic import BaseModel, ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from cgsam_edge.serve.faults import plain_faults
from cgsam_edge.serve.refusal import Refusal
from cgsam_edge.serve.schemas import SegmentOptions, SegmentRequest
from cgsam_edge.serve.uploads import Upload, checked_name

M = TypeVar("M", bound=BaseModel)

JSON, FORM = "application/json", "multipart/form-data"
PICTURE, QUESTION = "image", "request"
_MOST_SHOWN = 5


async def read_picture(request: Request) -> Upload:
    """Return the picture of a form that holds nothing else.

    Raises:
        Refusal: 415 if the body is no form, 422 if it lacks the picture or holds other things.
    """
    form = await _form(request, {PICTURE})
    return await _upload(form)


async def read_question(request: Request) -> tuple[Upload | str, SegmentOptions, str]:
    """Return a picture or its handle, the question, and the picture's name.

    Raises:
        Refusal: 415 if the body is neither JSON nor a form, 422 if it cannot be used.
    """
    if _kind(request) == JSON:
        asked = checked(SegmentRequest, await request.body())
        return asked.image, asked, checked_name(asked.name)
    form = await _form(request, {PICTURE, QUESTION})
    upload = await _upload(form)
    question = form.get(QUESTION)
    text = await question.read() if isinstance(question, UploadFile) else question
    return upload, SegmentOptions() if text is None else checked(SegmentOptions, text), upload.name


def checked(model: type[M], text: str | bytes) -> M:
    """Return JSON as a model.

    Raises:
        Refusal: 422, which names the first faults and their places.
    """
    try:
        return model.model_validate_json(text, strict=True)
    except ValidationError as error:
        raise Refusal(422, plain_faults(model, error.errors(include_url=False))) from error
    except UnicodeError as error:
        raise Refusal(422, "the request is not UTF-8.") from error


def _kind(request: Request) -> str:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in (JSON, FORM):
        raise Refusal(415, f"the body's type is {kind[:80] or 'missing'!r}; expected {JSON} or {FORM}.")
    return kind


async def _form(request: Request, known: set[str]) -> FormData:
    if _kind(request) != FORM:
        raise Refusal(415, f"the body's type is {JSON}; expected {FORM}.")
    try:
        form = await request.form(max_files=len(known), max_fields=len(known))
    except HTTPException as error:
        raise Refusal(422, f"the form cannot be read: {error.detail}") from error
    names = [name for name, _ in form.multi_items()]
    if set(names) - known or len(names) > len(set(names)):
        shown = ", ".join(repr(name[:40]) for name in names[:_MOST_SHOWN])
        raise Refusal(422, f"the form holds {shown}; expected {' and '.join(sorted(known))}, each once.")
    return form


async def _upload(form: FormData) -> Upload:
    file = form.get(PICTURE)
    if file is None:
        raise Refusal(422, f"the form lacks the part {PICTURE!r} with the picture.")
    if isinstance(file, str):
        raise Refusal(422, f"the part {PICTURE!r} is text; expected a file, with a filename.")
    return Upload(checked_name(file.filename), await file.read())
