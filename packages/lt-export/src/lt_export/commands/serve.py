"""`lt-export serve`: answer HTTP requests with a model."""

from __future__ import annotations

import argparse
import os
import sys

from lt_export.commands.arguments import Commands, add_command, add_loading, load, number, whole

LIMITS = (
    *("max_bytes", "max_pixels", "max_images", "max_concurrent", "max_waiting"),
    *("head_seconds", "body_seconds", "stop_seconds"),
)


def add_to(commands: Commands) -> None:
    """The command and its options."""
    parser = add_command(commands, "serve", run, "answer HTTP requests; there is no authentication and no TLS")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1, this machine)")
    parser.add_argument("--port", type=whole(0, 65535), default=8000, help="port (default: 8000; 0 takes a free one)")
    add_loading(parser)
    limits = parser.add_argument_group("limits", "Not given, they are those of lt_export.server.ServerConfig.")
    limits.add_argument("--max-bytes", type=whole(1), metavar="N", help="of a request's body")
    limits.add_argument("--max-pixels", type=whole(1), metavar="N", help="of an image")
    limits.add_argument("--max-images", type=whole(1), metavar="N", help="images of one request")
    limits.add_argument("--max-concurrent", type=whole(1), metavar="N", help="requests at work at the same time")
    limits.add_argument("--max-waiting", type=whole(0), metavar="N", help="requests that may wait besides them")
    limits.add_argument("--head-seconds", type=number(0.001), metavar="S", help="time in which a head must have come")
    limits.add_argument("--body-seconds", type=number(0.001), metavar="S", help="time in which a body must have come")
    limits.add_argument("--stop-seconds", type=number(0.001), metavar="S", help="time to finish requests in work")
    parser.add_argument(
        "--cors-origin",
        action="append",
        default=[],
        metavar="ORIGIN",
        help="let pages of this origin read answers, such as https://shop.example; several times for several; * is all",
    )
    parser.add_argument("--access-log", action="store_true", help="log each request to the error output")


def run(arguments: argparse.Namespace) -> int:
    """Serve until a signal; prints the address first."""
    import logging

    from lt_export.server import ServerConfig, serve

    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.WARNING)
    logging.getLogger("uvicorn.access").setLevel(logging.INFO)
    given = {name: getattr(arguments, name) for name in LIMITS if getattr(arguments, name) is not None}
    try:
        config = ServerConfig(**given, cors_origins=tuple(arguments.cors_origin))
    except ValueError as error:
        arguments.parser.error(str(error))
    cut_off = serve(
        load(arguments),
        config,
        host=arguments.host,
        port=arguments.port,
        access_log=arguments.access_log,
        listening=lambda url: print(f"{arguments.model} on {url}, Ctrl-C stops", flush=True),
    )
    if cut_off:
        print(f"error: requests cut off: {cut_off}; --stop-seconds gives them longer", file=sys.stderr)
        sys.stderr.flush()
        # A thread that decodes or predicts cannot be stopped; an orderly exit would wait for it.
        os._exit(1)
    return 0
