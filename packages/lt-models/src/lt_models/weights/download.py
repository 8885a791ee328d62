"""One file over HTTP, resumed where it broke off."""

from __future__ import annotations

import http.client
import json
import logging
import os
import re
import shutil
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

import attrs

from lt_models.weights.published import hub_endpoint

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT_S = 5.0
"""For all addresses of a host together: networks that drop packets would cost the system's minutes for each."""

READ_TIMEOUT_S = 10.0
PAUSES_S = (0.3, 1.0)
"""Before each further try of a transfer that broke; progress of `PROGRESS_BYTES` starts the count anew."""

PROGRESS_BYTES = 1 << 20
CHUNK_BYTES = 1 << 20
LOG_EVERY_S = 5.0
PASSING_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})


class DownloadError(Exception):
    """The address does not give the file; the message says why."""


class _BrokenError(Exception):
    """The transfer broke; another try may go on from there."""


@attrs.frozen
class Download:
    """A finished transfer.

    Attributes:
        sha256: That the server told for the file, None where it told none.
        resumed: Whether parts of it came with an earlier try.
    """

    sha256: str | None
    resumed: bool


def download(url: str, part: Path) -> Download:
    """Fetch `url` into `part`; what an earlier call left there is gone on from if the server's file is still the same.

    Args:
        url: http or https.
        part: The file; beside it `<part>.json` says which version of which address it is part of.

    Raises:
        DownloadError: The address does not give the file, or too slowly; what has come stays for the next call.
        OSError: The file cannot be written.
    """
    _check_reachable(url)
    failures = 0
    while True:
        before = _size(part)
        try:
            return _attempt(url, part)
        except _BrokenError as error:
            failures = 1 if _size(part) - before >= PROGRESS_BYTES else failures + 1
            if failures > len(PAUSES_S):
                kept = f"; {_megabytes(_size(part))} are kept, and the next try goes on from there"
                raise DownloadError(f"{error}{kept if _size(part) else ''}") from error
            time.sleep(PAUSES_S[failures - 1])


def discard(part: Path) -> None:
    """Remove what a transfer left."""
    part.unlink(missing_ok=True)
    _notes(part).unlink(missing_ok=True)


def _attempt(url: str, part: Path) -> Download:
    validator = _validator_of(part, url)
    offset = _size(part) if validator else 0
    ranged = {"Range": f"bytes={offset}-", "If-Range": validator} if validator and offset else {}
    redirects = _Redirects()
    with _open(url, ranged, redirects, part) as response:
        start, total = _extent(response, part)
        # The server decides: 206 goes on, 200 starts again, because it cannot resume or its file has changed.
        if start == 0:
            _note(part, url, _strong_validator(response.headers))
        _check_space(part, total, start)
        _stream(response, part, start, total)
    if total is not None and _size(part) != total:
        raise _BrokenError(f"the connection broke after {_megabytes(_size(part))} of {_megabytes(total)}")
    return Download(redirects.sha256, resumed=start > 0)


def _open(url: str, headers: Mapping[str, str], redirects: _Redirects, part: Path) -> http.client.HTTPResponse:
    request = urllib.request.Request(url, headers={"User-Agent": "lt-models", "Accept-Encoding": "identity", **headers})
    token = os.environ.get("HF_TOKEN")
    if token and _origin(url) == _origin(hub_endpoint()):
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    # Neither files nor FTP: an opener of our own has no handlers for them. Proxies come from the environment.
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        redirects,
    ):
        opener.add_handler(handler)
    try:
        response: Any = opener.open(request, timeout=READ_TIMEOUT_S)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:
            discard(part)
        if error.code == 416 or error.code in PASSING_STATUS:
            raise _BrokenError(f"HTTP {error.code} {error.reason}") from error
        raise DownloadError(_refusal(error, url)) from error
    except urllib.error.URLError as error:
        if isinstance(error.reason, ConnectionError) and not isinstance(error.reason, ConnectionRefusedError):
            raise _BrokenError(str(error.reason)) from error
        raise DownloadError(str(error.reason)) from error
    except (OSError, http.client.HTTPException) as error:
        raise _BrokenError(str(error) or type(error).__name__) from error
    if response is None:
        raise DownloadError("only http and https are allowed")
    opened: http.client.HTTPResponse = response
    return opened


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to http and https, never from https to http; takes the hub's word for the SHA-256."""

    sha256: str | None = None

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        schemes = ("https",) if urlsplit(req.full_url).scheme == "https" else ("http", "https")
        if urlsplit(newurl).scheme not in schemes:
            raise DownloadError(f"redirects to {newurl}, which is not {' or '.join(schemes)}")
        etag = (headers.get("X-Linked-ETag") or "").strip('"')
        if re.fullmatch(r"[0-9a-f]{64}", etag):
            self.sha256 = etag
        new = super().redirect_request(req, fp, code, msg, headers, newurl)
        # Credentials are for the host they were meant for; the hub redirects to itself when a repository moves.
        authorization = req.unredirected_hdrs.get("Authorization")
        if new is not None and authorization and _origin(newurl) == _origin(req.full_url):
            new.add_unredirected_header("Authorization", authorization)
        return new

    def http_error_302(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: http.client.HTTPMessage
    ) -> Any:
        # urllib checks the scheme itself, before redirect_request, and calls the target an HTTP error.
        target = headers.get("Location") or headers.get("URI") or ""
        if urlsplit(target).scheme not in ("", "http", "https"):
            raise DownloadError(f"redirects to {target}, which is not http or https")
        return super().http_error_302(req, fp, code, msg, headers)

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


def _stream(response: http.client.HTTPResponse, part: Path, start: int, total: int | None) -> None:
    logged = time.monotonic()
    with part.open("ab" if start else "wb") as stream:
        while True:
            try:
                chunk = response.read(CHUNK_BYTES)
            except (OSError, http.client.HTTPException) as error:
                stream.flush()
                raise _BrokenError(f"the connection broke: {error or type(error).__name__}") from error
            if not chunk:
                break
            stream.write(chunk)
            if time.monotonic() - logged > LOG_EVERY_S:
                logged = time.monotonic()
                of = f" of {_megabytes(total)}" if total else ""
                logger.info("%s: %s%s", part.name.strip(".").removesuffix(".part"), _megabytes(stream.tell()), of)
        stream.flush()
        os.fsync(stream.fileno())


def _extent(response: http.client.HTTPResponse, part: Path) -> tuple[int, int | None]:
    """Where the body starts in the file, and the file's size where the server tells it."""
    if response.status != 206:
        length = response.headers.get("Content-Length")
        return 0, int(length) if length and length.isdigit() else None
    found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range") or "")
    if not found or int(found[1]) != _size(part):
        discard(part)
        raise _BrokenError("the server resumed at another place than it was asked to")
    return int(found[1]), None if found[2] == "*" else int(found[2])


def _check_space(part: Path, total: int | None, start: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if total is not None and total - start > free:
        raise OSError(28, f"needs {_megabytes(total - start)}, {_megabytes(free)} are free", str(part.parent))


def _check_reachable(url: str) -> None:
    """Connect once, with one deadline for all addresses of the host; a proxy is left to do so itself."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise DownloadError("only http and https are allowed")
    if parts.scheme in urllib.request.getproxies() and not urllib.request.proxy_bypass(parts.hostname):
        return
    deadline = time.monotonic() + CONNECT_TIMEOUT_S
    problem: OSError | None = None
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        for family, kind, protocol, _, address in socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM):
            try:
                with socket.socket(family, kind, protocol) as probe:
                    probe.settimeout(max(0.1, deadline - time.monotonic()))
                    probe.connect(address)
                    return
            except OSError as error:
                problem = error
            if time.monotonic() >= deadline:
                break
    except OSError as error:
        problem = error
    raise DownloadError(f"{parts.hostname} cannot be reached: {problem}")


def _refusal(error: urllib.error.HTTPError, url: str) -> str:
    text = f"HTTP {error.code} {error.reason}"
    if error.code in (401, 403) and _origin(url) == _origin(hub_endpoint()):
        page = url.partition("/resolve/")[0]
        text += f" (gated or private: accept the licence at {page} and set HF_TOKEN)"
    return text


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc.lower()


def _strong_validator(headers: http.client.HTTPMessage) -> str | None:
    """What `If-Range` may compare (RFC 9110, 13.1.5): a strong entity tag, else the date."""
    etag = headers.get("ETag")
    return etag if etag and not etag.startswith("W/") else headers.get("Last-Modified")


def _notes(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _note(part: Path, url: str, validator: str | None) -> None:
    # First the old bytes go: notes of a new version beside bytes of the old one would make a file of both.
    part.unlink(missing_ok=True)
    _notes(part).write_text(json.dumps({"url": url, "validator": validator}), encoding="utf-8")


def _validator_of(part: Path, url: str) -> str | None:
    try:
        notes = json.loads(_notes(part).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    same = isinstance(notes, dict) and notes.get("url") == url and isinstance(notes.get("validator"), str)
    return str(notes["validator"]) if same else None


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
