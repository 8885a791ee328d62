"""What a server counts, for Prometheus. Labels take values from fixed sets, so that clients cannot add series."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lt_export.runtime.classifier import EdgeClassifier

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Upper ends of the histograms' buckets."""

OTHER = "other"


class Metrics:
    """The series of one server, in a registry of their own.

    Attributes:
        preprocess_seconds: Of decoding and preprocessing all images of a request.
        model_seconds: Of running the model on them.
        images: Images classified.
        unreadable: Files that were no images, or broken ones.
    """

    def __init__(self, classifier: EdgeClassifier, routes: Collection[str], in_work: Callable[[], int]) -> None:
        self._routes = frozenset(routes)
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self.requests = Counter("lt_export_requests", "Answers.", ("route", "status"), registry=registry)
        self.request_seconds = Histogram(
            "lt_export_request_seconds",
            "From a request's head to its answer, with receiving and waiting.",
            ("route",),
            buckets=SECONDS,
            registry=registry,
        )
        self.preprocess_seconds = Histogram(
            "lt_export_preprocess_seconds",
            "Decoding and preprocessing the images of a request.",
            buckets=SECONDS,
            registry=registry,
        )
        self.model_seconds = Histogram(
            "lt_export_model_seconds",
            "Running the model on the images of a request.",
            buckets=SECONDS,
            registry=registry,
        )
        self.images = Counter("lt_export_images", "Images classified.", registry=registry)
        self.unreadable = Counter("lt_export_unreadable_images", "Files that cannot be read.", registry=registry)
        Gauge(
            "lt_export_requests_in_work", "Requests being received, waiting or running.", registry=registry
        ).set_function(in_work)
        description = classifier.description
        labels = {
            "task": description.task.task,
            "classes": str(len(description.task.classes)),
            "precision": description.precision,
            "device": classifier.device,
            "lt_export_version": description.version,
            "checkpoint_sha256": description.checkpoint_sha256,
        }
        Gauge("lt_export_model_info", "The model; always 1.", tuple(labels), registry=registry).labels(**labels).set(1)

    def text(self) -> bytes:
        """All series in Prometheus' text format."""
        return generate_latest(self._registry)

    def observe(self, path: str, status: int, seconds: float) -> None:
        """Count an answer."""
        route = path if path in self._routes else OTHER
        self.requests.labels(route, str(status)).inc()
        self.request_seconds.labels(route).observe(seconds)


class Observed:
    """ASGI middleware that counts every answer."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500  # what the server answers where the application raises
        began = time.perf_counter()

        async def send_observed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_observed)
        finally:
            self._metrics.observe(scope["path"], status, time.perf_counter() - began)
