"""A server process: listening, signals, and an end that finishes what is in work."""

from __future__ import annotations

import errno
import functools
import socket
from collections.abc import Callable
from types import FrameType

from lt_export.errors import MissingPackageError
from lt_export.probes import probe_images
from lt_export.runtime.classifier import EdgeClassifier
from lt_export.server.app import create_app
from lt_export.server.config import ServerConfig
from lt_export.server.service import Service

try:
    import uvicorn
except ImportError as error:
    raise MissingPackageError(str(error.name), "server", "the server") from error

from lt_export.server.connections import TimedProtocol

MAX_HEAD_BYTES = 16 * 2**10
"""Of the head of a request."""

MAX_CONNECTIONS = 512
"""More are answered with 503 by uvicorn itself."""


def serve(
    classifier: EdgeClassifier,
    config: ServerConfig | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    access_log: bool = False,
    listening: Callable[[str], None] = lambda url: None,
) -> int:
    """Serve a model until SIGINT or SIGTERM, then finish the requests in work; a second signal stops at once.

    To be called in the main thread. There is no authentication and no TLS: other machines should come through a proxy.

    Args:
        classifier: The model.
        config: The limits; None takes the defaults.
        host: Address to listen on; 127.0.0.1 serves this machine alone.
        port: 0 takes a free one.
        access_log: Whether each request is logged, by the logger `uvicorn.access`.
        listening: Called with the URL once clients can connect.

    Returns:
        How many requests were cut off when the server stopped.

    Raises:
        OSError: The address cannot be had.
        MissingPackageError: lt-export[server] is not installed.
    """
    config = config or ServerConfig()
    app = create_app(classifier, config)
    service: Service = app.state.service
    classifier.scores(probe_images(classifier.task.preprocessing, 1))  # the first request should not wait longer
    with _listen(host, port) as listener:
        server = _Server(
            uvicorn.Config(
                app,
                http=functools.partial(TimedProtocol, head_seconds=config.head_seconds),  # type: ignore[arg-type]
                loop="asyncio",
                ws="none",
                lifespan="on",
                log_config=None,
                access_log=access_log,
                # Nothing here depends on who the client is, so no header of a proxy is believed.
                proxy_headers=False,
                server_header=False,
                limit_concurrency=MAX_CONNECTIONS,
                h11_max_incomplete_event_size=MAX_HEAD_BYTES,
                timeout_graceful_shutdown=config.stop_seconds,  # type: ignore[arg-type]  # any number will do
            ),
            service,
        )
        listening(_url(listener))
        server.run(sockets=[listener])
    return service.work.cut_off


class _Server(uvicorn.Server):
    """uvicorn's, with our meaning of signals."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal lets requests finish, the second does not.

        uvicorn's notes them too, to raise them once more at the end, when they would kill this process.
        """
        self.force_exit = self.should_exit
        self.should_exit = True
        self._service.stopping = True


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        taken = "; another program has that port, 0 takes a free one" if error.errno == errno.EADDRINUSE else ""
        raise OSError(f"cannot listen on {host} port {port}: {error.strerror or error}{taken}") from error
    # Connections inherit it. Without it the body of an answer waits 40 ms for the client to acknowledge the head, and
    # asyncio sets it only on sockets that it has made itself.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
