"""Whether TensorRT can be used here, which version it is, and what it says while it works."""

from __future__ import annotations

import functools
import importlib
import logging
import re
import sys
from collections import deque
from typing import TYPE_CHECKING

import attrs

from lt_export.runtime import cuda

if TYPE_CHECKING:
    import tensorrt as trt

logger = logging.getLogger(__name__)

OLDEST = 10
"""Major version; networks of older ones cannot be strongly typed in all that our models need."""
KEPT_MESSAGES = 20
"""So many of TensorRT's errors are kept for an exception."""


def what_is_missing() -> str | None:
    """Why TensorRT cannot be used here, None where it can."""
    try:
        library = importlib.import_module("tensorrt")
    # The package finds its own libraries, and fails in ways of the system's loader.
    except (ImportError, OSError) as error:
        return f"TensorRT is not installed, or its libraries are not found: {error}"
    version = getattr(library, "__version__", None)
    if not isinstance(version, str):
        return "TensorRT is not installed; there is only a package of its type stubs"
    if version_numbers(version)[0] < OLDEST:
        return f"TensorRT {version} is too old; {OLDEST} or newer is needed"
    return cuda.what_is_missing()


def installed_version() -> str:
    """Of TensorRT, such as `"10.13.3.9"`; `what_is_missing` was asked before."""
    import tensorrt as trt

    return ".".join(map(str, version_numbers(trt.__version__)))


def version_numbers(version: str) -> tuple[int, ...]:
    """The leading numbers of a version, at most four: a wheel's `.post1` holds the same libraries."""
    found = re.match(r"\d+(\.\d+){0,3}", version)
    return tuple(map(int, found.group().split("."))) if found else (0,)


@attrs.define
class Messages:
    """What TensorRT said.

    Attributes:
        errors: The last ones that no exception has named yet.
        verbose: Whether all messages go to the error output; warnings and errors always go to the log.
    """

    errors: deque[str] = attrs.field(factory=lambda: deque(maxlen=KEPT_MESSAGES))
    verbose: bool = False

    def reason(self) -> str:
        """The errors, for an exception; they are forgotten."""
        text = "; ".join(self.errors) or "TensorRT gave no reason"
        self.errors.clear()
        return text


@functools.cache
def messages() -> Messages:
    """Those of this process: TensorRT holds on to the first log that it gets, for as long as it is loaded."""
    return Messages()


@functools.cache
def shared_log() -> trt.ILogger:
    """The log that fills `messages`, one for this process."""
    import tensorrt as trt

    heard = messages()

    class SharedLog(trt.ILogger):
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: trt.ILogger.Severity, msg: str) -> None:
            if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
                heard.errors.append(msg)
                logger.error("TensorRT: %s", msg)
            elif severity == trt.ILogger.Severity.WARNING:
                logger.warning("TensorRT: %s", msg)
            elif heard.verbose:
                sys.stderr.write(f"TensorRT: {msg}\n")

    return SharedLog()
