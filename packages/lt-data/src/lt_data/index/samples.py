"""The samples of one split, in a few flat arrays."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import attrs
import numpy as np
import numpy.typing as npt


@attrs.frozen(eq=False)
class SampleIndex:
    """Paths and labels of one split; about the length of a file name plus 12 bytes a sample.

    Attributes:
        root: Folder that the paths are relative to.
        labels: Index of each sample's class in `TaskSpec.classes`, int32 of shape (N,).
        names: All relative paths one after the other, in the file system's encoding.
        ends: Where each path ends in `names`, int64 of shape (N,).
    """

    root: Path
    labels: npt.NDArray[np.int32]
    names: bytes = attrs.field(repr=False)
    ends: npt.NDArray[np.int64] = attrs.field(repr=False)

    @classmethod
    def from_paths(cls, root: Path, paths: Sequence[str], labels: npt.NDArray[np.int32]) -> SampleIndex:
        """Index of `paths` relative to `root`, in the given order."""
        encoded = [os.fsencode(path) for path in paths]
        lengths = np.fromiter(map(len, encoded), dtype=np.int64, count=len(encoded))
        return cls(root, labels.astype(np.int32, copy=False), b"".join(encoded), np.cumsum(lengths))

    def __len__(self) -> int:
        return len(self.labels)

    def path(self, index: int) -> Path:
        """The file of sample `index`, 0 ≤ index < N."""
        start = int(self.ends[index - 1]) if index else 0
        return self.root / os.fsdecode(self.names[start : int(self.ends[index])])

    @property
    def nbytes(self) -> int:
        """Memory that the arrays take, in bytes."""
        return len(self.names) + self.ends.nbytes + self.labels.nbytes

    def fingerprint(self) -> str:
        """SHA-256 of the relative paths and labels: two runs with the same one see the same samples."""
        digest = hashlib.sha256(self.names)
        digest.update(self.ends.astype("<i8").tobytes())
        digest.update(self.labels.astype("<i4").tobytes())
        return digest.hexdigest()
