"""The endless stream of training samples, a pure function of the seed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import attrs
import numpy as np
import numpy.typing as npt
from torch.utils.data import Sampler


class SampleKey(NamedTuple):
    """One draw of one sample: its augmentation depends on this and the seed, on nothing else."""

    epoch: int
    sample: int


def sample_order(num_samples: int, *, seed: int, epoch: int) -> npt.NDArray[np.int64]:
    """Order of one epoch, a pure function of (seed, epoch): resuming needs no stored state."""
    return np.random.default_rng((seed, epoch)).permutation(num_samples)


@attrs.frozen
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
    """

    num_samples: int
    batch_size: int
    start: int
    stop: int
    seed: int
    rank: int = 0
    world_size: int = 1

    def __len__(self) -> int:
        return self.stop - self.start

    def __iter__(self) -> Iterator[list[SampleKey]]:
        share = self.batch_size // self.world_size
        current = -1
        order = np.empty(0, dtype=np.int64)
        for batch in range(self.start, self.stop):
            first = batch * self.batch_size + self.rank * share
            keys = []
            for position in range(first, first + share):
                epoch, offset = divmod(position, self.num_samples)
                if epoch != current:
                    current, order = epoch, sample_order(self.num_samples, seed=self.seed, epoch=epoch)
                keys.append(SampleKey(epoch, int(order[offset])))
            yield keys
