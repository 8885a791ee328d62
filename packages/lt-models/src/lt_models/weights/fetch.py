"""Published weights onto this machine: verified, whole or not at all, once for all processes."""

from __future__ import annotations

import hashlib
import logging
import os
from pathlib import Path

from lt_models.errors import WeightsError
from lt_models.names import NOT_PRETRAINED
from lt_models.weights.cache import FOLDER_VARIABLE, cached_path, is_cached, offline_variable
from lt_models.weights.download import DownloadError, discard, download
from lt_models.weights.lock import exclusive
from lt_models.weights.published import Published

__all__ = ["fetch", "is_cached"]

logger = logging.getLogger(__name__)


def fetch(published: Published) -> Path:
    """The file of published weights on this machine, from the cache folder or else from where it is published.

    The log says which weights these are: model, file, address, SHA-256 and licence.

    Returns:
        Its path in the cache folder.

    Raises:
        WeightsError: The file cannot be had, or is not the published one; names every address with its reason, the
            place where the file can be put by hand, and the model's name without pretrained weights.
    """
    path = cached_path(published)
    if path.is_file():
        return _from_cache(published, path)
    if not published.urls:
        raise _unavailable(published, path, ["it is not published at any address that can be fetched from"])
    forbidden = offline_variable()
    if forbidden:
        raise _unavailable(published, path, [f"{url}: not tried, {forbidden} is set" for url in published.urls])
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with exclusive(path.with_name(f".{path.name}.lock")) as locked:
            if path.is_file():
                return _from_cache(published, path)
            part = path.with_name(f".{path.name}.part" if locked else f".{path.name}.{os.getpid()}.part")
            return _from_network(published, path, part)
    except OSError as error:
        raise _unavailable(published, path, [f"{path.parent}: cannot be written: {error}"]) from error


def _from_cache(published: Published, path: Path) -> Path:
    try:
        sha256 = _sha256(path)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error}", path=path) from error
    if published.sha256 and not sha256.startswith(published.sha256):
        raise WeightsError(
            f"{path}: is not the published file: its SHA-256 is {sha256[:16]}…, not {published.sha256}…\n"
            f"Remove it, and it is fetched anew; or train from random weights with {_random(published)}",
            path=path,
        )
    checked = "as published" if published.sha256 else "put there before, and not checked: it is published online only"
    _log(published, f"{path}, SHA-256 {sha256} ({checked})")
    return path


def _from_network(published: Published, path: Path, part: Path) -> Path:
    reasons = []
    for url in published.urls:
        try:
            sha256 = _download_verified(published, url, part)
        except DownloadError as error:
            reasons.append(f"{url}: {error}")
            continue
        except OSError:
            # No more room, most likely: what has come must not take it away from others.
            discard(part)
            raise
        part.replace(path)
        discard(part)
        _sync_folder(path.parent)
        _log(published, f"{url}, kept as {path}, SHA-256 {sha256}")
        return path
    raise _unavailable(published, path, reasons)


def _download_verified(published: Published, url: str, part: Path) -> str:
    """SHA-256 of the file that is now at `part`; nothing is there when it is not the published one."""
    while True:
        done = download(url, part)
        sha256 = _sha256(part)
        expected = published.sha256 or done.sha256
        if not expected or sha256.startswith(expected):
            return sha256
        discard(part)
        # A resumed file may be of two versions, if the server says that they are one; a fresh one tells.
        if not done.resumed:
            raise DownloadError(f"gives another file: its SHA-256 is {sha256[:16]}…, not {expected}; it was removed")


def _unavailable(published: Published, path: Path, reasons: list[str]) -> WeightsError:
    of = f" of {published.model}" if published.model else ""
    lines = [
        f"cannot get the weights{of} ({published.name}):",
        *(f"  {reason}" for reason in reasons),
        *([published.hint] if published.hint else []),
        f"Put the file at {path} (the environment variable {FOLDER_VARIABLE} chooses the folder), "
        f"or train from random weights with {_random(published)}",
    ]
    return WeightsError("\n".join(lines), path=path)


def _random(published: Published) -> str:
    return f"{published.model}{NOT_PRETRAINED}" if published.model else f"<model>{NOT_PRETRAINED}"


def _log(published: Published, where: str) -> None:
    logger.info("weights of %s: %s, licence %s", published.model or "the model", where, published.licence)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _sync_folder(folder: Path) -> None:
    """Make the new name last; Windows cannot and need not."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
