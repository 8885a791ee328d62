"""The routes of a server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from lt_data import PredictionArgumentError
from lt_export.errors import MissingPackageError

try:
    import prometheus_client  # noqa: F401  # named when it is missing
    import python_multipart  # noqa: F401
    from starlette.applications import Starlette
    from starlette.exceptions import HTTPException
    from starlette.middleware import Middleware
    from starlette.middleware.cors import CORSMiddleware
    from starlette.middleware.errors import ServerErrorMiddleware
    from starlette.requests import Request
    from starlette.responses import HTMLResponse, JSONResponse, Response
    from starlette.routing import Route
except ImportError as error:
    raise MissingPackageError(str(error.name), "server", "the server") from error

from lt_export.runtime.classifier import EdgeClassifier
from lt_export.server.bodies import read_images
from lt_export.server.config import ServerConfig
from lt_export.server.docs_page import docs_page
from lt_export.server.metrics import CONTENT_TYPE, Observed
from lt_export.server.openapi import openapi
from lt_export.server.pages import SECURITY_HEADERS, index_page
from lt_export.server.selection import read_selection
from lt_export.server.service import Service
from lt_export.server.work import BusyError
from lt_export.summary import summary

RETRY_SECONDS = 1
"""Told to clients that are turned away; requests take less than that."""

NO_SNIFF = {"X-Content-Type-Options": "nosniff"}


def create_app(classifier: EdgeClassifier, config: ServerConfig | None = None) -> Starlette:
    """An ASGI application that classifies what is posted to `/predict`.

    Args:
        classifier: The model.
        config: The limits; None takes the defaults.

    Raises:
        MissingPackageError: lt-export[server] is not installed.
    """
    config = config or ServerConfig()
    routes: dict[str, tuple[str, Callable[[Request], Awaitable[Response]]]] = {
        "/": ("GET", _fixed(HTMLResponse(index_page(classifier, config), headers=SECURITY_HEADERS))),
        "/predict": ("POST", _predict),
        "/info": (
            "GET",
            _fixed(_json({**summary(classifier.description, classifier.batch_limits), "device": classifier.device})),
        ),
        "/health": ("GET", _health),
        "/metrics": ("GET", _metrics),
        "/openapi.json": ("GET", _fixed(_json(openapi(classifier, config)))),
        "/docs": ("GET", _fixed(HTMLResponse(docs_page(openapi(classifier, config)), headers=SECURITY_HEADERS))),
    }
    service = Service(classifier, config, tuple(routes))

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        service.work.close()

    middleware = [Middleware(Observed, metrics=service.metrics)]
    if config.cors_origins:
        middleware.append(
            Middleware(
                CORSMiddleware,
                allow_origins=config.cors_origins,
                allow_methods=["GET", "POST"],
                allow_headers=["Content-Type"],
                expose_headers=["Retry-After"],
            )
        )
    # Starlette's own stands outside of the others, so that its answer would have no header of CORS.
    middleware.append(Middleware(ServerErrorMiddleware, handler=_failed))
    app = Starlette(
        routes=[Route(path, endpoint, methods=[method]) for path, (method, endpoint) in routes.items()],
        middleware=middleware,
        exception_handlers={HTTPException: _refused},
        lifespan=lifespan,
    )
    app.state.service = service
    return app


async def _predict(request: Request) -> Response:
    service: Service = request.app.state.service
    if service.stopping:
        raise HTTPException(503, "the server is stopping", {"Connection": "close"})
    try:
        selection = read_selection(request.query_params, service.classifier.task)
        with service.work.admission():
            contents, as_list = await read_images(request, service.config)
            async with service.work.slots:
                if await request.is_disconnected():
                    raise HTTPException(400, "the client went away before its turn")
                answers = await service.work.run(lambda: service.classify(contents, selection))
    except PredictionArgumentError as error:
        raise HTTPException(400, str(error)) from error
    except BusyError as error:
        raise HTTPException(503, "too many requests are in work", {"Retry-After": str(RETRY_SECONDS)}) from error
    except asyncio.CancelledError as error:
        # Only a server that stops cancels requests; whoever sent this one still gets an answer.
        raise HTTPException(503, "the server is stopping", {"Connection": "close"}) from error
    if as_list:
        return _json(answers)
    return _json(answers[0], 422 if "error" in answers[0] else 200)


async def _health(request: Request) -> Response:
    stopping = request.app.state.service.stopping
    return _json({"status": "stopping" if stopping else "ok"}, 503 if stopping else 200)


async def _metrics(request: Request) -> Response:
    return Response(request.app.state.service.metrics.text(), headers={**NO_SNIFF, "Content-Type": CONTENT_TYPE})


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _json({"error": error.detail}, error.status_code, error.headers or {})


async def _failed(request: Request, error: Exception) -> Response:
    """Starlette raises the error again afterwards, so that the log has it."""
    return _json({"error": "internal error; the server's log says more"}, 500)


def _json(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return JSONResponse(content, status, {**NO_SNIFF, "Cache-Control": "no-store", **(headers or {})})


def _fixed(response: Response) -> Callable[[Request], Awaitable[Response]]:
    """An endpoint whose answer never changes."""

    async def endpoint(request: Request) -> Response:
        return response

    return endpoint
