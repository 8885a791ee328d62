"""The endless stream of training samples, a pure function of the seed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import attrs
import numpy as np
import numpy.typing as npt
from torch.utils.data import Sampler


class SampleKey(NamedTuple):
    """One draw of one sample: its augmentation depends on this and the seed, on nothing else.

    Attributes:
        epoch: Counted from 0.
        sample: Its index.
        repeat: How often it was drawn in this epoch before.
    """

    epoch: int
    sample: int
    repeat: int = 0


def sample_order(num_samples: int, *, seed: int, epoch: int) -> npt.NDArray[np.int64]:
    """Order of one epoch, a pure function of (seed, epoch): resuming needs no stored state."""
    return np.random.default_rng((seed, epoch)).permutation(num_samples)


def drawn_order(draws: npt.NDArray[np.float64], *, seed: int, epoch: int) -> npt.NDArray[np.int64]:
    """As many samples as there are, drawn by weight with repetition, in random order; a pure function too.

    Systematic resampling: a sample of weight w is drawn n w / Σ w times, rounded up or down.

    Args:
        draws: Weight of each sample, float64 of shape (N,), above 0.
        seed: Seed of the run.
        epoch: Counted from 0.
    """
    rng = np.random.default_rng((seed, epoch, 4))
    # Samples of one weight lie together, so that they are drawn in proportion as a group too.
    shuffled = rng.permutation(len(draws))
    grouped = shuffled[np.argsort(draws[shuffled], kind="stable")]
    edges = np.cumsum(draws[grouped])
    places = (rng.random() + np.arange(len(draws))) * (edges[-1] / len(draws))
    return rng.permutation(grouped[np.searchsorted(edges, places, side="right").clip(max=len(draws) - 1)])


def times_before(order: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """How often each entry has occurred before its place."""
    by_value = np.argsort(order, kind="stable")
    values = order[by_value]
    starts = np.flatnonzero(np.diff(values, prepend=-1))
    before = np.arange(len(order)) - np.repeat(starts, np.diff(starts, append=len(order)))
    times = np.empty_like(order)
    times[by_value] = before
    return times


@attrs.frozen(eq=False)
class StreamSampler(Sampler[list[SampleKey]]):
    """Batches `start` to `stop` of a stream that lays the epochs end to end.

    Batch k holds positions k * batch_size to (k + 1) * batch_size - 1 of the stream, so no sample is dropped at the end
    of an epoch, each is seen exactly once an epoch, and a run that resumes at batch k needs to know k only. Of each
    batch, rank r of `world_size` takes its r-th equal part: the union is the same for any number of ranks.

    Attributes:
        num_samples: Size of the data set.
        batch_size: Samples of a batch over all ranks; a multiple of `world_size`.
        start: First batch.
        stop: Batch after the last.
        seed: Seed of the run.
        rank: This process.
        world_size: Number of processes.
        draws: Weight of each sample, float64 of shape (num_samples,), above 0: an epoch then draws by weight, with
            repetition. None shows each sample once an epoch.
    """

    num_samples: int
    batch_size: int
    start: int
    stop: int
    seed: int
    rank: int = 0
    world_size: int = 1
    draws: npt.NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return self.stop - self.start

    def __iter__(self) -> Iterator[list[SampleKey]]:
        share = self.batch_size // self.world_size
        current = -1
        order = repeats = np.empty(0, dtype=np.int64)
        for batch in range(self.start, self.stop):
            first = batch * self.batch_size + self.rank * share
            keys = []
            for position in range(first, first + share):
                epoch, offset = divmod(position, self.num_samples)
                if epoch != current:
                    current, (order, repeats) = epoch, self._epoch(epoch)
                keys.append(SampleKey(epoch, int(order[offset]), int(repeats[offset])))
            yield keys

    def _epoch(self, epoch: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Samples in order, and how often each was drawn before."""
        if self.draws is None:
            order = sample_order(self.num_samples, seed=self.seed, epoch=epoch)
            return order, np.zeros_like(order)
        order = drawn_order(self.draws, seed=self.seed, epoch=epoch)
        return order, times_before(order)
