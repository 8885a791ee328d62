"""What the processes of a run know together."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import numpy.typing as npt
import torch
from lightning_fabric import Fabric
from torch import nn


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
                torch.distributed.broadcast(buffer, src=0)

    @torch.no_grad()
    def share_weights(self, model: nn.Module) -> None:
        """Give every process the first one's weights and buffers."""
        if self.fabric.world_size > 1:
            for own in (*model.parameters(), *model.buffers()):
                sent = own.contiguous()
                torch.distributed.broadcast(sent, src=0)
                own.copy_(sent)

    def largest(self, *numbers: int) -> tuple[int, ...]:
        """The largest of each number over the processes; all of them must ask."""
        if self.fabric.world_size == 1:
            return numbers
        together = self.fabric.all_reduce(torch.tensor(numbers, device=self.fabric.device), reduce_op="max")
        assert isinstance(together, torch.Tensor)
        return tuple(together.tolist())

    def each(self, number: torch.Tensor) -> torch.Tensor:
        """A number of each process, of shape () in each, as one tensor of shape (processes,)."""
        gathered = self.fabric.all_gather(number) if self.fabric.world_size > 1 else number
        assert isinstance(gathered, torch.Tensor)
        return gathered.reshape(-1)

    def add_up(self, counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Sum of an int64 array over the processes."""
        if self.fabric.world_size == 1:
            return counts
        total = self.fabric.all_reduce(torch.from_numpy(counts.copy()).to(self.fabric.device), reduce_op="sum")
        assert isinstance(total, torch.Tensor)
        summed: npt.NDArray[np.int64] = total.cpu().numpy()
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
        gathered = self.fabric.all_gather(torch.from_numpy(padded).to(self.fabric.device))
        assert isinstance(gathered, torch.Tensor)
        everyone = gathered.cpu().numpy()
        return np.concatenate([part[:length] for part, length in zip(everyone, lengths, strict=True)])
