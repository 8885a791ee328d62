"""What the processes of a run know together."""

from __future__ import annotations

from collections import deque
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt
import torch
from lightning_fabric import Fabric
from torch import distributed, nn

_recent: deque[distributed.Work] = deque(maxlen=16)
"""The last collectives. Gloo's own thread must not be the last to hold one: it would enter the interpreter to free the
tensors, and a loader worker that is forked in that moment hangs in Python before 3.12, which makes the interpreter's
lock new too late in the child."""


@attrs.frozen
class FabricRanks:
    """All processes of a run; a single one knows all by itself.

    Attributes:
        fabric: How they talk.
    """

    fabric: Fabric

    def share_buffers(self, model: nn.Module) -> None:
        """Give every process the first one's buffers.

        Running means of batch normalisation follow the batches of each process, and it is those of the first that are
        exported, so all must validate with them.
        """
        if self.fabric.world_size > 1:
            for buffer in model.buffers():
                _finish(distributed.broadcast(buffer, src=0, async_op=True))

    @torch.no_grad()
    def share_weights(self, model: nn.Module) -> None:
        """Give every process the first one's weights and buffers."""
        if self.fabric.world_size > 1:
            for own in (*model.parameters(), *model.buffers()):
                sent = own.contiguous()
                _finish(distributed.broadcast(sent, src=0, async_op=True))
                own.copy_(sent)

    def largest(self, *numbers: int) -> tuple[int, ...]:
        """The largest of each number over the processes; all of them must ask."""
        if self.fabric.world_size == 1:
            return numbers
        together = torch.tensor(numbers, device=self.fabric.device)
        _finish(distributed.all_reduce(together, distributed.ReduceOp.MAX, async_op=True))
        return tuple(together.tolist())

    def total(self, values: torch.Tensor) -> torch.Tensor:
        """Sum of a tensor over the processes, on each of them."""
        if self.fabric.world_size == 1:
            return values
        together = values.to(self.fabric.device, copy=True)
        _finish(distributed.all_reduce(together, async_op=True))
        return together

    def each(self, number: torch.Tensor) -> torch.Tensor:
        """A number of each process, of shape () in each, as one tensor of shape (processes,)."""
        return torch.stack(self._gathered(number))

    def add_up(self, counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Sum of an int64 array over the processes."""
        summed: npt.NDArray[np.int64] = self.total(torch.from_numpy(counts)).cpu().numpy()
        return summed

    def collect(self, rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Rows of all processes, one after the other by rank; each may bring another number of them."""
        if self.fabric.world_size == 1:
            return rows
        lengths = np.zeros(self.fabric.world_size, dtype=np.int64)
        lengths[self.fabric.global_rank] = len(rows)
        lengths = self.add_up(lengths)
        padded = np.zeros((int(lengths.max()), *rows.shape[1:]), dtype=rows.dtype)
        padded[: len(rows)] = rows
        everyone = self._gathered(torch.from_numpy(padded))
        return np.concatenate([part.cpu().numpy()[:length] for part, length in zip(everyone, lengths, strict=True)])

    def _gathered(self, own: torch.Tensor) -> list[torch.Tensor]:
        """The tensor of each process, alike in shape, by rank."""
        sent = own.to(self.fabric.device)
        if self.fabric.world_size == 1:
            return [sent]
        everyone = [torch.empty_like(sent) for _ in range(self.fabric.world_size)]
        _finish(distributed.all_gather(everyone, sent, async_op=True))
        return everyone


def _finish(work: distributed.Work | None) -> None:
    """Wait for a collective, and keep it for a while if it is gloo's."""
    assert work is not None  # this process is one of the group
    work.wait()
    if distributed.get_backend() == distributed.Backend.GLOO:
        _recent.append(work)
