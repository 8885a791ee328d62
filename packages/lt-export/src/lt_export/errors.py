"""What lt-export raises.

LtExportError
├── ExportError              also a RuntimeError: the model could not be exported; no file was written
│   └── VerificationError    the exported model does not answer as the original does
├── EdgeModelError           also a ValueError: a file is no model that lt-export wrote
└── MissingPackageError      also an ImportError: an extra of lt-export is not installed; says which
"""

from __future__ import annotations


class LtExportError(Exception):
    """Base of every error that lt-export raises on purpose."""


class ExportError(LtExportError, RuntimeError):
    """The model could not be exported; no file was written."""


class VerificationError(ExportError):
    """The exported model does not answer as the original does; no file was written."""


class EdgeModelError(LtExportError, ValueError):
    """A file is no model that lt-export wrote."""


class MissingPackageError(LtExportError, ImportError):
    """An extra of lt-export is not installed."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(f'{purpose} needs {package}: pip install "lt-export[{extra}]"')
