"""Decoded, shrunk images for later epochs, in a file that all workers map into their memory."""

from __future__ import annotations

import logging
import math
import mmap
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import attrs
import numpy as np
import numpy.typing as npt

from lt_data.preprocessing import Box
from lt_data.task import Preprocessing
from lt_data.torch.reading import Jpeg, Pixels
from lt_data.torch.resizing import resize

logger = logging.getLogger(__name__)

SHORTER_SIDE = 9 / 7
"""Cached images are shrunk until their shorter side is this times the longer side of `image_size`: 288 for 224."""

MAX_ASPECT = 1.5
"""An image's place is as large as one of this aspect ratio needs; longer ones are shrunk to the same area."""

ENTRY = np.dtype([("height", "<i4"), ("width", "<i4")])


@attrs.frozen
class Layout:
    """What the file holds: an entry of height and width for each sample, then a place for the pixels of each.

    Attributes:
        entries: Number of samples.
        places: How many of them, the first ones, have a place.
        channels: Of the images.
        side: Longest that a shorter side may be, in pixels.
    """

    entries: int
    places: int
    channels: int
    side: int

    @property
    def place_bytes(self) -> int:
        """Size of one place, a whole number of memory pages, so that what is not used takes no memory."""
        size = math.ceil(MAX_ASPECT * self.side**2) * self.channels
        return -(-size // mmap.PAGESIZE) * mmap.PAGESIZE

    @property
    def head_bytes(self) -> int:
        """Size of the entries, a whole number of memory pages."""
        return -(-self.entries * ENTRY.itemsize // mmap.PAGESIZE) * mmap.PAGESIZE

    @property
    def total_bytes(self) -> int:
        """Size of the file."""
        return self.head_bytes + self.places * self.place_bytes

    def shrunk(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of a cached image; it is never enlarged."""
        scale = min(1.0, self.side / min(height, width), self.side * math.sqrt(MAX_ASPECT / (height * width)))
        return max(1, math.floor(height * scale)), max(1, math.floor(width * scale))


class SampleCache:
    """Images by sample, shrunk alike whether they come from the cache or not, so that results depend on neither."""

    def __init__(self, path: str, layout: Layout, preprocessing: Preprocessing) -> None:
        self._path, self._layout, self._preprocessing = path, layout, preprocessing
        self._file: int | None = None
        self._map: mmap.mmap | None = None
        self._full = False

    def __getstate__(self) -> dict[str, Any]:
        # Each process opens the file for itself.
        return {**self.__dict__, "_file": None, "_map": None}

    def get(self, sample: int, decode: Callable[[int], Jpeg | Pixels]) -> npt.NDArray[np.uint8]:
        """The shrunk image of a sample, uint8 (H, W, C), decoded when it is asked for the first time.

        Raises:
            ImageDecodeError: The file is not a whole image.
        """
        cached = self._read(sample)
        if cached is not None:
            return cached
        pixels = self._shrink(decode(sample))
        if sample < self._layout.places and not self._full:
            self._write(sample, pixels)
        return pixels

    def close(self) -> None:
        """Let go of the file; images that are still in use keep what they show until they are gone."""
        memory, file, self._map, self._file = self._map, self._file, None, None
        if memory is not None:
            with suppress(BufferError):
                memory.close()
        if file is not None:
            os.close(file)

    def _shrink(self, image: Jpeg | Pixels) -> npt.NDArray[np.uint8]:
        size = self._layout.shrunk(*image.size)
        part, turn = image.read(Box(0, 0, *image.size), size)
        upright = turn.apply(resize(part, turn.size(*size), self._preprocessing.interpolation))
        return np.ascontiguousarray(upright.permute(1, 2, 0).numpy())

    def _read(self, sample: int) -> npt.NDArray[np.uint8] | None:
        if sample >= self._layout.places:
            return None
        memory = self._memory()
        height, width = np.frombuffer(memory, ENTRY, count=1, offset=sample * ENTRY.itemsize)[0].item()
        if height == 0:
            return None
        shape = (height, width, self._layout.channels)
        flat = np.frombuffer(memory, np.uint8, count=math.prod(shape), offset=self._place(sample))
        return flat.reshape(shape)

    def _write(self, sample: int, pixels: npt.NDArray[np.uint8]) -> None:
        """Write the pixels, and only then the entry that makes them valid; another worker would write the same.

        Through the file and not through the map: where the disk or the memory's file system is full, writing to the
        map would end the process.
        """
        self._memory()
        assert self._file is not None
        entry = np.array([pixels.shape[:2]], dtype="<i4").tobytes()
        try:
            _write_at(self._file, pixels.tobytes(), self._place(sample))
            _write_at(self._file, entry, sample * ENTRY.itemsize)
        except OSError as error:
            self._full = True
            logger.warning("cache: %s; the rest is decoded in each epoch", error.strerror)

    def _place(self, sample: int) -> int:
        return self._layout.head_bytes + sample * self._layout.place_bytes

    def _memory(self) -> mmap.mmap:
        if self._map is None:
            self._file = os.open(self._path, os.O_RDWR | getattr(os, "O_BINARY", 0))
            self._map = mmap.mmap(self._file, self._layout.total_bytes, access=mmap.ACCESS_READ)
        return self._map


def _write_at(file: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        if hasattr(os, "pwrite"):
            written = os.pwrite(file, view, offset)
        else:
            os.lseek(file, offset, os.SEEK_SET)
            written = os.write(file, view)
        view, offset = view[written:], offset + written


@contextmanager
def open_cache(
    kind: Literal["ram", "disk"], folder: Path, num_samples: int, preprocessing: Preprocessing, limit_bytes: int
) -> Iterator[SampleCache]:
    """A cache for one run, gone when it ends.

    Args:
        kind: In memory, or in a file in `folder`.
        folder: For `"disk"`.
        num_samples: Of the training data.
        preprocessing: Size, channels and filter of training.
        limit_bytes: The most that it may take; samples beyond are decoded in each epoch.

    Raises:
        OSError: The file cannot be made.
    """
    side = math.ceil(SHORTER_SIDE * max(preprocessing.image_size))
    layout = Layout(num_samples, num_samples, preprocessing.num_channels, side)
    places = max(0, min(num_samples, (limit_bytes - layout.head_bytes) // layout.place_bytes))
    layout = attrs.evolve(layout, places=places)
    logger.info("cache: %d of %d training images in %s, %.2g GB at most", places, num_samples, kind, limit_bytes / 1e9)
    with ExitStack() as stack:
        path = stack.enter_context(_memory_file() if kind == "ram" else _disk_file(folder))
        with open(path, "r+b") as stream:
            stream.truncate(layout.total_bytes)
        yield stack.enter_context(closing(SampleCache(path, layout, preprocessing)))


@contextmanager
def _memory_file() -> Iterator[str]:
    """A file in memory, which other processes of the same user can open while this one holds it."""
    if sys.platform != "linux":
        with _disk_file(Path(tempfile.gettempdir())) as path:
            yield path
        return
    # Not in /dev/shm: containers often have 64 MB there.
    descriptor = os.memfd_create("lt-data-cache")
    try:
        yield f"/proc/{os.getpid()}/fd/{descriptor}"
    finally:
        os.close(descriptor)


@contextmanager
def _disk_file(folder: Path) -> Iterator[str]:
    folder.mkdir(parents=True, exist_ok=True)
    descriptor, path = tempfile.mkstemp(prefix="lt-data-cache-", dir=folder)
    os.close(descriptor)
    try:
        yield path
    finally:
        Path(path).unlink(missing_ok=True)
