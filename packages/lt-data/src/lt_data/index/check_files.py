"""Reads every image of a split whole: what the data check knows of the files themselves."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import attrs
import numpy as np
import numpy.typing as npt

from lt_data.errors import ImageDecodeError
from lt_data.images.decoding import Decoding, Frame
from lt_data.images.open import load_image
from lt_data.index.samples import SampleIndex
from lt_data.processors import usable_processors

DIGEST_BYTES = 16
"""Of BLAKE2b, 128 bits: among a million different files two are alike with a probability of 10^-27."""
CHUNK = 32
"""Images that a thread reads at a time."""
BLOCK_BYTES = 2**20

Progress = Callable[[int], None]


@attrs.frozen(eq=False, kw_only=True)
class FileFindings:
    """What reading the images of a split showed.

    Attributes:
        digests: Hash of each file, and of the frame if the sample is one, uint64 of shape (N, 2).
        sizes: Width and height of each image, int32 of shape (N, 2); 0 for those that cannot be read.
        failures: Why samples cannot be read, by index.
    """

    digests: npt.NDArray[np.uint64]
    sizes: npt.NDArray[np.int32]
    failures: dict[int, str]

    @property
    def readable(self) -> npt.NDArray[np.int64]:
        """Indices of the samples that can be read, int64 of shape (R,)."""
        return np.flatnonzero(self.sizes[:, 0])


def read_files(
    samples: SampleIndex, num_channels: int, decoding: Decoding, num_workers: int | None, progress: Progress
) -> FileFindings:
    """Decode and hash every file, in threads: decoders and hashes leave Python's lock.

    Args:
        samples: What to read.
        num_channels: As training reads it.
        decoding: As training reads it.
        num_workers: Number of threads; None for one a CPU core.
        progress: Called with the number of images read so far.
    """
    digests = np.zeros((len(samples), 2), dtype=np.uint64)
    sizes = np.zeros((len(samples), 2), dtype=np.int32)
    failures: dict[int, str] = {}

    def read(start: int) -> int:
        stop = min(start + CHUNK, len(samples))
        for i in range(start, stop):
            image = samples.image(i)
            try:
                height, width = load_image(image, num_channels, decoding).shape[:2]
                digests[i] = _digest(image)
                sizes[i] = width, height
            except ImageDecodeError as error:
                failures[i] = str(error).removeprefix(f"{samples.path(i)}: ")
            except OSError as error:
                failures[i] = error.strerror or str(error)
        return stop

    with ThreadPoolExecutor(num_workers or usable_processors()) as pool:
        for done in pool.map(read, range(0, len(samples), CHUNK)):
            progress(done)
    return FileFindings(digests=digests, sizes=sizes, failures=dict(sorted(failures.items())))


def _digest(image: Path | Frame) -> npt.NDArray[np.uint64]:
    path, frame = (image.path, image.index) if isinstance(image, Frame) else (image, None)
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
    with open(path, "rb") as stream:
        while block := stream.read(BLOCK_BYTES):
            digest.update(block)
    if frame is not None:
        digest.update(f"frame {frame}".encode())
    return np.frombuffer(digest.digest(), dtype=np.uint64)


def alike(digests: npt.NDArray[np.uint64]) -> list[list[int]]:
    """Rows of `digests` that occur more than once, together: each group rising, groups by their first row."""
    order = np.lexsort((digests[:, 1], digests[:, 0]))
    ordered = digests[order]
    starts = np.flatnonzero(np.concatenate(([True], (ordered[1:] != ordered[:-1]).any(axis=1)))[: len(order)])
    lengths = np.diff(starts, append=len(order))
    runs = zip(starts[lengths > 1].tolist(), lengths[lengths > 1].tolist(), strict=True)
    return sorted(sorted(order[start : start + length].tolist()) for start, length in runs)
