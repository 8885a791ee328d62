"""The images in the body of a request: limited in size and time while they come in, never written to disk."""

from __future__ import annotations

import asyncio

from python_multipart.exceptions import FormParserError
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message, Receive

from lt_export.server.config import ServerConfig

FIELD = "image"
"""Name of the form field, which may be there several times."""
FORM = "multipart/form-data"
RAW = ("application/octet-stream", "application/dicom")
"""Besides `image/…`; what the bytes are is seen from themselves."""

CURL = ("--data-binary @photo.jpg -H 'Content-Type: image/jpeg'", f"-F {FIELD}=@photo.jpg")
"""How curl sends a body and a form; by itself it names another content type."""

ACCEPTED = f"image/*, {', '.join(RAW)}, or {FORM} with files in the field `{FIELD}`"


class InMemoryParser(MultiPartParser):
    """Files of a form stay in memory: the body is limited already, and a device may have no disk to write to."""

    spool_max_size = 0


async def read_images(request: Request, config: ServerConfig) -> tuple[list[bytes], bool]:
    """Contents of the image files of a request.

    Returns:
        The contents, and whether they came as a form with several, whose answer is a list.

    Raises:
        HTTPException: 400 a form that is not as it should be, 408 too slow, 413 too large, 415 another content type.
    """
    kind = request.headers.get("content-type", RAW[0]).partition(";")[0].strip().lower()
    if kind != FORM and kind not in RAW and not kind.startswith("image/"):
        raise HTTPException(415, f"Content-Type must be {ACCEPTED}, got {kind!r}; with curl: {CURL[0]}, or {CURL[1]}")
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > config.max_bytes:
        raise _too_large(config)
    limited = Request(request.scope, _limited(request.receive, config))
    reading = _read_form(limited, config) if kind == FORM else _read_raw(limited)
    try:
        return await asyncio.wait_for(reading, config.body_seconds)
    except asyncio.TimeoutError as error:  # another class than TimeoutError in Python 3.10
        raise HTTPException(408, f"the body did not come within {config.body_seconds:g} seconds") from error
    except ClientDisconnect as error:
        raise HTTPException(400, "the client went away before the body had come") from error


async def _read_raw(request: Request) -> tuple[list[bytes], bool]:
    return [await request.body()], False


async def _read_form(request: Request, config: ServerConfig) -> tuple[list[bytes], bool]:
    parser = InMemoryParser(
        request.headers, request.stream(), max_files=config.max_images, max_fields=config.max_images
    )
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise HTTPException(400, f"the form cannot be read: {error.message}") from error
    except FormParserError as error:  # Starlette before 1.0 lets it through
        raise HTTPException(400, f"the form cannot be read: {error}") from error
    try:
        images = [await _content(name, value) for name, value in form.multi_items()]
    finally:
        await form.close()
    if not images:
        raise HTTPException(400, f"the form has no file in the field `{FIELD}`")
    return images, len(images) > 1


async def _content(name: str, value: UploadFile | str) -> bytes:
    if name != FIELD:
        raise HTTPException(400, f"the form has the unknown field {name!r}; files are expected in `{FIELD}`")
    if isinstance(value, str):
        raise HTTPException(400, f"the field `{FIELD}` must be a file, not text; URLs and paths are never followed")
    return await value.read()


def _limited(receive: Receive, config: ServerConfig) -> Receive:
    """Stops as soon as more has come than may, whatever was announced."""
    received = 0

    async def receive_limited() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > config.max_bytes:
            raise _too_large(config)
        return message

    return receive_limited


def _too_large(config: ServerConfig) -> HTTPException:
    return HTTPException(413, f"the body is larger than {config.max_bytes} bytes")
