from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

import pytest
import torch

from lt_train.kept_memory import kept_memory

MEGABYTE = 2**20

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallopt"), reason="only glibc is told what to keep"
)


def resident() -> float:
    """MB of this process that lie in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / MEGABYTE


def use_and_free(megabytes: int) -> None:
    blocks = [torch.ones(MEGABYTE // 4) for _ in range(megabytes)]
    assert len(blocks) == megabytes


def test_memory_that_a_step_frees_stays_until_the_end_of_the_run():
    before = resident()
    with kept_memory():
        use_and_free(300)
        assert resident() > before + 250
    assert resident() < before + 100
