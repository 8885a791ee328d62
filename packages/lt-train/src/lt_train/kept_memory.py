"""Memory that a training step frees, kept for the next step."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Parameters of mallopt(3): free memory at the heap's top, and requests, in bytes, above which the system is called."""
KEEP_ALL = 2**31 - 1
LARGEST_MMAP_THRESHOLD = 32 * 2**20
DYNAMIC_TRIM_THRESHOLD = 2 * LARGEST_MMAP_THRESHOLD
"""Both as glibc itself moves them to when a program frees blocks of 32 MB, as models do: mallopt(3)."""


@contextmanager
def kept_memory() -> Iterator[None]:
    """Have glibc keep what a step on the CPU frees while the block runs; other allocators are left alone.

    By default it gives the activations back to the system after each step whenever they happen to lie at the heap's
    end. The next step then pays for a page fault for every 4 kB of them, which takes a tenth of a small model's step.
    """
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    if libc is None or not hasattr(libc, "mallopt"):
        yield
        return
    libc.mallopt(M_MMAP_THRESHOLD, LARGEST_MMAP_THRESHOLD)
    libc.mallopt(M_TRIM_THRESHOLD, KEEP_ALL)
    try:
        yield
    finally:
        libc.mallopt(M_TRIM_THRESHOLD, DYNAMIC_TRIM_THRESHOLD)
        libc.malloc_trim(0)
