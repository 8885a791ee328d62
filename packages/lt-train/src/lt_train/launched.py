"""Processes of a run that Fabric has started end with the one that started them."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from lightning_fabric import Fabric

from lt_train.ranks import FabricRanks

LOOK_SECONDS = 1.0
"""Between two looks at who the parent is."""

GRACE_SECONDS = 10.0
"""So long a process whose parent is gone may end by itself, with what it has to say."""

EXIT_ABANDONED = 1


@contextmanager
def ending_with_launcher(fabric: Fabric) -> Iterator[None]:
    """While the block runs, end this process soon after the one that has started it, if Fabric did; all must ask.

    Gloo sees that another process is gone, NCCL does not, and what waits there for the first process would keep a GPU
    busy until a time-out of ten minutes or more. The first process is told by Fabric of the end of those that it has
    started, and torchrun and Slurm look after all.
    """
    launcher = _launcher(fabric)
    if launcher is None:
        yield
        return
    over = threading.Event()
    threading.Thread(target=_watch, args=(launcher, over), name="lt-train-launcher", daemon=True).start()
    try:
        yield
    finally:
        over.set()


def _launcher(fabric: Fabric) -> int | None:
    """The process that has started this one, None where none of the run has."""
    if fabric.world_size == 1:
        return None
    processes = FabricRanks(fabric).each(torch.tensor(os.getpid()))
    first_here = int(processes[fabric.global_rank - fabric.local_rank])
    # On Windows a process keeps the number of a parent that is gone.
    is_child = os.name == "posix" and fabric.local_rank > 0 and os.getppid() == first_here
    return first_here if is_child else None


def _watch(launcher: int, over: threading.Event) -> None:
    while not over.wait(LOOK_SECONDS):
        if os.getppid() == launcher:
            continue
        if not over.wait(GRACE_SECONDS):
            print(f"process {os.getpid()}: process {launcher}, which started it, is gone; ended", file=sys.stderr)
            # What waits for another process in PyTorch cannot be interrupted otherwise.
            os._exit(EXIT_ABANDONED)
        return
