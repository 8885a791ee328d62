"""What became of a process that loads images."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from lt_train.errors import LoaderWorkerError

GONE = re.compile(r"DataLoader worker \(pid(?:\(s\))? ([\d, ]+)\)(.*)", re.DOTALL)
"""How PyTorch tells of it, in whichever line of the main process it is interrupted."""


@contextmanager
def worker_errors() -> Iterator[None]:
    """Say what to do when a loader process is gone.

    Raises:
        LoaderWorkerError: One was killed or crashed.
    """
    try:
        yield
    except RuntimeError as error:
        found = GONE.match(str(error))
        if found is None:
            raise
        process, how = found[1], " ".join(found[2].split()) or "is gone"
        raise LoaderWorkerError(
            f"the loader process {process} {how.rstrip('.')}: it was killed, most likely by the system for lack of "
            "memory. Lower num_workers, batch_size or loader_args.prefetch_factor, and go on with "
            "resume_interrupted=True from what was saved last"
        ) from error
