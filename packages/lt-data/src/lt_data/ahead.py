"""Work that is done ahead of its use, in threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from typing import TypeVar

T = TypeVar("T")


def results_in_order(
    pool: Executor, work: Callable[[int], T], indices: Sequence[int], limit: int
) -> Iterator[tuple[int, T]]:
    """Each index with the result of `work`, in the order of `indices`; never more than `limit` wait to be taken.

    Args:
        pool: Does the work.
        work: What to do for an index.
        indices: For which.
        limit: At least 1.
    """
    waiting: deque[tuple[int, Future[T]]] = deque()
    for index in indices:
        waiting.append((index, pool.submit(work, index)))
        if len(waiting) >= limit:
            first, future = waiting.popleft()
            yield first, future.result()
    for index, future in waiting:
        yield index, future.result()
