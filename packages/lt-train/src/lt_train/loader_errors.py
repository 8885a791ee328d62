"""What became of a process that loads images."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from lt_train.errors import LoaderWorkerError

GONE = re.compile(r"DataLoader worker \(pid(?:\(s\))? ([\d, ]+|unknown)\)(.*)", re.DOTALL)
"""How PyTorch and lt-data tell of it; PyTorch in whichever line of the main process it is interrupted."""


@contextmanager
def worker_errors(restored_later: ExitStack) -> Iterator[None]:
    """Say what to do when a loader process is gone.

    Args:
        restored_later: PyTorch tells of a dead process again whenever another ends, which may be in the midst of
            writing down that it died. From the first time on it is kept from that, until this is closed.

    Raises:
        LoaderWorkerError: One was killed or crashed.
    """
    try:
        yield
    except RuntimeError as error:
        _silence(restored_later)
        found = GONE.match(str(error))
        if found is None:
            raise
        process, how = found[1], " ".join(found[2].split()) or "is gone"
        raise LoaderWorkerError(
            f"the loader process {process} {how.rstrip('.')}: it was killed, most likely by the system for lack of "
            "memory. Lower `num_workers`, `batch_size` or `loader_args.prefetch_factor`, and go on with "
            "`resume_interrupted` from what was saved last"
        ) from error


def _silence(restored_later: ExitStack) -> None:
    if not hasattr(signal, "SIGCHLD"):
        return
    try:
        handler = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    except ValueError:  # not the main thread, which alone is told
        return
    restored_later.callback(signal.signal, signal.SIGCHLD, handler)
