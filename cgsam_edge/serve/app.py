"""The application: which address does what."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from cgsam_edge._version import __version__
from cgsam_edge.errors import CgsamError
from cgsam_edge.serve import metrics, openapi
from cgsam_edge.serve.api_page import api_page
from cgsam_edge.serve.assets import assets
from cgsam_edge.serve.guard import App, Guard
from cgsam_edge.serve.reading import read_picture, read_question
from cgsam_edge.serve.refusal import MEDIA_TYPE, Refusal
from cgsam_edge.serve.schemas import Health, KeptImage, KnownConcept, Masks, Vocabularies
from cgsam_edge.serve.service import SegmentService, name_of
from cgsam_edge.serve.settings import ServeSettings
from cgsam_edge.serve.work_queue import WorkQueue

if TYPE_CHECKING:
    from cgsam_edge.segmenter import Segmenter

HEALTH = "/health"


def make_app(segmenter: Segmenter, settings: ServeSettings) -> App:
    """Return the application.

    Args:
        segmenter: the opened bundle; the caller closes it once the application has ended.
        settings: limits.
    """
    counted = metrics.ServerMetrics()
    service = SegmentService(segmenter, settings, counted.timed)
    queue = WorkQueue(settings.workers, settings.waiting, service.warm_up())
    _watch(counted, service, queue)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        queue.close()

    app = FastAPI(
        title="cgsam serve",
        version=__version__,
        summary="Segments pictures by concept.",
        docs_url=None,  # FastAPI's pages load scripts from elsewhere
        redoc_url=None,
        openapi_url=None,
        lifespan=lifespan,
    )
    _add_questions(app, service, queue, settings)
    _add_facts(app, service, settings, counted)
    _add_pages(app, segmenter, settings)
    _add_errors(app)
    public = frozenset({*assets(), HEALTH})
    known = frozenset(path for route in app.routes if isinstance(path := getattr(route, "path", None), str))
    return Guard(app, settings, counted, public, known, lambda: queue.check(settings.timeout))


def _watch(counted: metrics.ServerMetrics, service: SegmentService, queue: WorkQueue) -> None:
    counted.watch("cgsam_waiting_requests", "Requests that wait for the engine.", lambda: queue.waiting)
    counted.watch("cgsam_kept_images", "Encoded pictures that are kept.", lambda: len(service.images))
    counted.watch("cgsam_kept_image_bytes", "Bytes of these pictures.", lambda: service.images.bytes)


def _add_questions(app: FastAPI, service: SegmentService, queue: WorkQueue, settings: ServeSettings) -> None:
    @app.post(
        "/segment",
        response_model=Masks,
        summary="Segment a picture by concepts, clicks and boxes",
        openapi_extra={"requestBody": openapi.QUESTION_BODY},
        responses={200: {"content": openapi.OTHER_FORMATS}, **openapi.refusals(*openapi.POSTED, 404)},
    )
    async def segment(request: Request) -> Any:
        """Send a picture as a form, or the handle of one that was sent before as JSON."""
        picture, options, name = await read_question(request)
        answer = await queue.run(
            lambda turn: service.segment(picture, options, name_of(picture, name), turn),
            settings.timeout,
            lambda: _left(request),
        )
        headers = {"content-disposition": _attachment(answer.name)} if answer.name else None
        return Response(answer.content, media_type=answer.media_type, headers=headers)

    @app.post(
        "/images",
        response_model=KeptImage,
        summary="Encode a picture, and keep it for questions",
        openapi_extra={"requestBody": openapi.PICTURE_BODY},
        responses=openapi.refusals(*openapi.POSTED),
    )
    async def images(request: Request) -> Any:
        """Return the handle of the picture; a further click on it then costs only the decoder."""
        upload = await read_picture(request)
        return await queue.run(lambda turn: service.keep(upload, turn), settings.timeout, lambda: _left(request))


def _add_facts(app: FastAPI, service: SegmentService, settings: ServeSettings, counted: metrics.ServerMetrics) -> None:
    segmenter = service.segmenter
    bundle = segmenter.bundle

    @app.get("/concepts", response_model=Vocabularies, responses=openapi.refusals(*openapi.ALWAYS))
    async def concepts() -> Any:
        """List the concepts that the bundle knows, and the limits of the server."""
        vocabulary = bundle.vocabulary
        return Vocabularies(
            bundle=bundle.path.name,
            concepts=[
                KnownConcept(concept=one.name, synonyms=list(one.synonyms), calibrated=vocabulary.calibrated(one.name))
                for one in vocabulary.concepts
            ],
            click_slots=bundle.manifest.prompting.click_slots,
            prompts=list(bundle.manifest.prompting.trained_for),
            max_pixels=settings.max_pixels,
            max_upload=settings.max_upload,
        )

    @app.get(HEALTH, response_model=Health, responses=openapi.refusals(403), openapi_extra={"security": []})
    async def health() -> Any:
        """Answer while the server takes requests; needs no token."""
        placement = segmenter.placement
        return Health(status="ok", version=__version__, backend=placement.backend, device=placement.device)

    text: dict[int | str, dict[str, Any]] = {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}

    @app.get("/metrics", response_class=Response, responses=text | openapi.refusals(*openapi.ALWAYS))
    async def numbers() -> Response:
        """Return counts and times in Prometheus' text format."""
        return Response(counted.text(), media_type=metrics.MEDIA_TYPE)


def _add_pages(app: FastAPI, segmenter: Segmenter, settings: ServeSettings) -> None:
    vocabulary = segmenter.bundle.vocabulary
    names = tuple(name for one in vocabulary.concepts for name in (one.name, *one.synonyms))
    described = openapi.describe(app, names, settings)
    page = api_page(described)

    @app.get("/openapi.json", include_in_schema=False)
    async def description() -> Any:
        return described

    @app.get("/docs", include_in_schema=False, response_class=HTMLResponse)
    async def docs() -> str:
        return page

    for path, asset in assets().items():
        response = Response(asset.content, media_type=asset.media_type, headers={"cache-control": "no-cache"})
        app.add_route(path, _always(response), methods=["GET"], include_in_schema=False)


def _always(response: Response) -> Any:
    async def answer(_: Request) -> Response:
        return response

    return answer


def _add_errors(app: FastAPI) -> None:
    def problem(refusal: Refusal) -> Response:
        return Response(refusal.body(), refusal.status, headers=refusal.headers, media_type=MEDIA_TYPE)

    @app.exception_handler(Refusal)
    async def refused(_: Request, error: Refusal) -> Response:
        return problem(error)

    @app.exception_handler(HTTPException)
    async def unknown(request: Request, error: HTTPException) -> Response:
        detail = f"{request.method} {request.url.path[:200]}: {error.detail}. See /docs."
        return problem(Refusal(error.status_code, detail, **dict(error.headers or {})))

    @app.exception_handler(CgsamError)
    async def failed(_: Request, error: CgsamError) -> Response:
        return problem(Refusal(500, str(error)))

    @app.exception_handler(Exception)  # which uvicorn also logs, with its traceback
    async def broken(_: Request, error: Exception) -> Response:
        return problem(Refusal(500, f"internal error: {type(error).__name__}. The server's log has more."))


async def _left(request: Request) -> None:
    """Return once the client has closed the connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _attachment(name: str) -> str:
    from urllib.parse import quote

    return f"attachment; filename*=UTF-8''{quote(name)}"
