"""What lt-export raises.

LtExportError
├── ExportError              also a RuntimeError: the model could not be exported; no file was written
│   ├── VerificationError    the exported model does not answer as the original does
│   └── EngineError          TensorRT could not build an engine; what it can be built from may have been written
├── EdgeModelError           also a ValueError: a file is no model that lt-export wrote, or cannot run here
├── SelfTestError            also a RuntimeError: this machine gives other scores than the exporting one
└── MissingPackageError      also an ImportError: an extra of lt-export is not installed; says which
"""

from __future__ import annotations


class LtExportError(Exception):
    """Base of every error that lt-export raises on purpose."""


class ExportError(LtExportError, RuntimeError):
    """The model could not be exported; no file was written."""


class VerificationError(ExportError):
    """The exported model does not answer as the original does; no file was written."""


class EngineError(ExportError):
    """TensorRT could not build an engine, or an engine does not belong to its ONNX file; no engine was written.

    Attributes:
        command: What builds the engine where TensorRT is, for a shell; empty where building is not what failed,
            and on Windows where a name cannot be quoted safely.
    """

    def __init__(self, message: str, *, command: str = "") -> None:
        self.command = command
        super().__init__(message)


class EdgeModelError(LtExportError, ValueError):
    """A file is no model that lt-export wrote, or cannot run here."""


class SelfTestError(LtExportError, RuntimeError):
    """This machine gives other scores than the one that exported the model."""


class MissingPackageError(LtExportError, ImportError):
    """An extra of lt-export is not installed."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(f'{purpose} needs {package}: pip install "lt-export[{extra}]"')
