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
    """Paths and labels of one split; about the length of a path plus 12 bytes a sample.

    Attributes:
        root: Folder that the paths are relative to; absolute paths stay as they are.
        labels: Index of each sample's class in `TaskSpec.classes`, int32 of shape (N,); of multilabel samples all
            labels one after the other, of shape (L,).
        names: All paths one after the other, in the file system's encoding.
        ends: Where each path ends in `names`, int64 of shape (N,).
        label_ends: Where each multilabel sample's labels end in `labels`, int64 of shape (N,); None for multiclass.
    """

    root: Path
    labels: npt.NDArray[np.int32]
    names: bytes = attrs.field(repr=False)
    ends: npt.NDArray[np.int64] = attrs.field(repr=False)
    label_ends: npt.NDArray[np.int64] | None = attrs.field(default=None, repr=False)

    @classmethod
    def from_paths(
        cls,
        root: Path,
        paths: Sequence[str],
        labels: npt.NDArray[np.int32],
        *,
        label_ends: npt.NDArray[np.int64] | None = None,
    ) -> SampleIndex:
        """Index of `paths`, in the given order."""
        encoded = [os.fsencode(path) for path in paths]
        lengths = np.fromiter(map(len, encoded), dtype=np.int64, count=len(encoded))
        return cls(root, labels.astype(np.int32, copy=False), b"".join(encoded), np.cumsum(lengths), label_ends)

    def __len__(self) -> int:
        return len(self.ends)

    def path(self, index: int) -> Path:
        """The file of sample `index`, 0 ≤ index < N."""
        start = int(self.ends[index - 1]) if index else 0
        return self.root / os.fsdecode(self.names[start : int(self.ends[index])])

    def labels_of(self, index: int) -> npt.NDArray[np.int32]:
        """Class indices of sample `index`, rising: one for multiclass, any number for multilabel."""
        if self.label_ends is None:
            return self.labels[index : index + 1]
        start = int(self.label_ends[index - 1]) if index else 0
        return self.labels[start : int(self.label_ends[index])]

    @property
    def nbytes(self) -> int:
        """Memory that the arrays take, in bytes."""
        return len(self.names) + sum(array.nbytes for array in self._arrays())

    def fingerprint(self) -> str:
        """SHA-256 of the paths and labels: two runs with the same one see the same samples."""
        digest = hashlib.sha256(self.names)
        for array in self._arrays():
            digest.update(array.astype(array.dtype.newbyteorder("<")).tobytes())
        return digest.hexdigest()

    def _arrays(self) -> list[npt.NDArray[np.int64] | npt.NDArray[np.int32]]:
        optional = [] if self.label_ends is None else [self.label_ends]
        return [self.ends, self.labels, *optional]
