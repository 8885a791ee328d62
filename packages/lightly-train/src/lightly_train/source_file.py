"""The file that a model was loaded from."""

from __future__ import annotations

import hashlib
from pathlib import Path

import attrs


@attrs.frozen
class SourceFile:
    """A file, as it was when the model was loaded.

    Attributes:
        path: Where it lies.
        size: In bytes.
        modified: Time of its last change in nanoseconds, as the file system has it.
    """

    path: Path
    size: int
    modified: int

    @classmethod
    def of(cls, path: Path) -> SourceFile:
        """`path` as it is now."""
        status = path.stat()
        return cls(path, status.st_size, status.st_mtime_ns)

    def sha256(self) -> str:
        """Its SHA-256 in hexadecimal digits; empty if the file is gone or has been written again."""
        digest = hashlib.sha256()
        try:
            if self.of(self.path) != self:
                return ""
            with open(self.path, "rb") as stream:
                while block := stream.read(2**20):
                    digest.update(block)
        except OSError:
            return ""
        return digest.hexdigest()
