"""What a server allows."""

from __future__ import annotations

import attrs

from lt_data import above, at_least
from lt_export.server.origins import sent_form


@attrs.frozen(kw_only=True)
class ServerConfig:
    """Limits of a server; what goes beyond them is refused.

    Attributes:
        max_bytes: Of the body of a request. At most `max_concurrent` + `max_waiting` bodies are in memory.
        max_pixels: Of an image; decoding takes about 18 bytes for each.
        max_images: Of one request.
        max_concurrent: Requests that are decoded or classified at the same time, each in a thread of its own.
        max_waiting: Requests that may be received or wait besides them; one more is answered with 503.
        head_seconds: Time in which the whole head of a request must have come, from connecting or from the answer
            before it.
        body_seconds: Time in which a body must have come.
        stop_seconds: Time that requests in work have to finish once the server is told to stop.
        cors_origins: Origins such as `"https://shop.example"` whose pages browsers let read our answers, or `"*"` for
            all of them. They are compared with what browsers send: in lower case, without the port where it is that
            of the scheme, without wildcards. Cookies and passwords are never taken.

    Raises:
        ValueError: A value is outside its range.
    """

    max_bytes: int = attrs.field(default=32 * 2**20, validator=at_least(1))
    max_pixels: int = attrs.field(default=50_000_000, validator=at_least(1))
    max_images: int = attrs.field(default=16, validator=at_least(1))
    max_concurrent: int = attrs.field(default=2, validator=at_least(1))
    max_waiting: int = attrs.field(default=16, validator=at_least(0))
    head_seconds: float = attrs.field(default=10.0, validator=above(0.0))
    body_seconds: float = attrs.field(default=30.0, validator=above(0.0))
    stop_seconds: float = attrs.field(default=10.0, validator=above(0.0))
    cors_origins: tuple[str, ...] = attrs.field(default=())

    @cors_origins.validator
    def _check_origins(self, attribute: attrs.Attribute[tuple[str, ...]], given: tuple[str, ...]) -> None:
        for origin in [given] if isinstance(given, str) else given:
            sent = sent_form(origin) if isinstance(origin, str) else None
            if isinstance(given, str) or (origin != "*" and sent is None):
                raise ValueError(
                    "cors_origins must be origins without a path, such as ('https://shop.example',), each with its "
                    f"whole host in ASCII, or '*' for all, got {origin!r}"
                )
            if origin not in ("*", sent):
                raise ValueError(f"cors_origins has {origin!r}, which browsers send as {sent!r}; write it so")
