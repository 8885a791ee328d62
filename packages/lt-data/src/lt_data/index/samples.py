"""The samples of one split, in a few flat arrays."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import attrs
import numpy as np
import numpy.typing as npt

from lt_data.images.decoding import Frame


@attrs.frozen(eq=False, kw_only=True)
class SampleIndex:
    """Paths and labels of one split; about the length of a path plus 12 bytes a sample.

    Attributes:
        root: Folder that the paths are relative to; absolute paths stay as they are.
        labels: Index of each sample's class in `TaskSpec.classes`, int32 of shape (N,); of multilabel samples all
            labels one after the other, of shape (L,).
        names: All paths one after the other, in the file system's encoding.
        ends: Where each path ends in `names`, int64 of shape (N,).
        num_classes: Number of classes that the labels count in.
        label_ends: Where each multilabel sample's labels end in `labels`, int64 of shape (N,); None for multiclass.
        frames: Frame of each sample where frames are samples of their own, int32 of shape (N,), -1 for files that are
            one sample as a whole; None where all are.
    """

    root: Path
    num_classes: int
    labels: npt.NDArray[np.int32]
    names: bytes = attrs.field(repr=False)
    ends: npt.NDArray[np.int64] = attrs.field(repr=False)
    label_ends: npt.NDArray[np.int64] | None = attrs.field(default=None, repr=False)
    frames: npt.NDArray[np.int32] | None = attrs.field(default=None, repr=False)

    @classmethod
    def from_paths(
        cls,
        root: Path,
        paths: Sequence[str],
        labels: npt.NDArray[np.int32],
        *,
        num_classes: int,
        label_ends: npt.NDArray[np.int64] | None = None,
        frames: npt.NDArray[np.int32] | None = None,
    ) -> SampleIndex:
        """Index of `paths`, in the given order."""
        encoded = [os.fsencode(path) for path in paths]
        lengths = np.fromiter(map(len, encoded), dtype=np.int64, count=len(encoded))
        return cls(
            root=root,
            num_classes=num_classes,
            labels=labels.astype(np.int32, copy=False),
            names=b"".join(encoded),
            ends=np.cumsum(lengths),
            label_ends=label_ends,
            frames=frames,
        )

    def __len__(self) -> int:
        return len(self.ends)

    def path(self, index: int) -> Path:
        """The file of sample `index`, 0 ≤ index < N."""
        start = int(self.ends[index - 1]) if index else 0
        return self.root / os.fsdecode(self.names[start : int(self.ends[index])])

    def image(self, index: int) -> Path | Frame:
        """What `load_image` reads for sample `index`: its file, or one frame of it."""
        path = self.path(index)
        return path if self.frames is None or self.frames[index] < 0 else Frame(path, int(self.frames[index]))

    def take(self, indices: npt.NDArray[np.int64]) -> SampleIndex:
        """The samples `indices`, in that order; a sample may be taken more than once."""
        begins = np.concatenate(([0], self.ends[:-1]))[indices]
        ends = self.ends[indices]
        parts = [self.names[begin:end] for begin, end in zip(begins.tolist(), ends.tolist(), strict=True)]
        chosen = attrs.evolve(
            self,
            names=b"".join(parts),
            ends=np.cumsum(ends - begins),
            frames=None if self.frames is None else self.frames[indices],
        )
        if self.label_ends is None:
            return attrs.evolve(chosen, labels=self.labels[indices])
        first = np.concatenate(([0], self.label_ends[:-1]))[indices]
        counts = self.label_ends[indices] - first
        label_ends = np.cumsum(counts)
        positions = np.repeat(first - (label_ends - counts), counts) + np.arange(counts.sum())
        return attrs.evolve(chosen, labels=self.labels[positions], label_ends=label_ends)

    def target(self, index: int) -> int | npt.NDArray[np.float32]:
        """What a model learns for sample `index`: its class index, or for multilabel 0 and 1 by class.

        Returns:
            An int for multiclass; float32 of shape (num_classes,) for multilabel.
        """
        if self.label_ends is None:
            return int(self.labels[index])
        present = np.zeros(self.num_classes, dtype=np.float32)
        present[self.labels_of(index)] = 1.0
        return present

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
        return [self.ends, self.labels, *(array for array in (self.label_ends, self.frames) if array is not None)]
