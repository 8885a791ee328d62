"""Steps whose loss or gradient is not finite are skipped, and counted."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import nn
from torch.optim import Optimizer

from lt_train.errors import TrainingDivergedError
from lt_train.ranks import FabricRanks
from lt_train.state import TrainState

logger = logging.getLogger(__name__)

MAX_IN_A_ROW = 10
"""So many skipped steps in a row are no accident of a batch."""

READ_EVERY = 10
"""Steps between two looks of the host at the counters of a GPU."""

NAMED_FILES = 32
"""So many files of a batch are named in an error."""

STATISTICS = frozenset({"running_mean", "running_var", "num_batches_tracked"})


class FiniteGuard:
    """Takes the optimiser's steps, and leaves weights, moments and batch-norm statistics alone where one is not finite.

    The verdict is a tensor on the device, and on a GPU all of it happens there: the fused optimiser has a flag by which
    its kernels do nothing (`found_inf`, made for gradient scaling), and statistics are put back by a `where`. Where
    there is one process its host waits for no step; it reads the counters when it waits anyway, to log, validate or
    save, and every tenth step. Several processes have to agree at every step on what is skipped and whether to stop,
    and the latter makes their hosts wait. A CPU has nothing to wait for and reads the counters at every step, and so
    does a GPU whose gradients are scaled: the scaler itself has to.
    """

    def __init__(
        self, fabric: Fabric, model: nn.Module, optimizer: Optimizer, scaler: torch.amp.GradScaler | None = None
    ) -> None:
        self._ranks, self._raw, self._scaler = FabricRanks(fabric), optimizer, scaler
        fused = bool(optimizer.defaults.get("fused"))
        self._on_device = fused and scaler is None and fabric.device.type != "cpu"
        named = model.named_buffers()
        self._statistics = [buffer for name, buffer in named if name.rpartition(".")[2] in STATISTICS]
        self._floats = [buffer for buffer in self._statistics if buffer.is_floating_point()]
        self._kept = [buffer.clone() for buffer in self._statistics]
        self._told = 0

    @torch.no_grad()
    def begin(self) -> None:
        """Keep what the forward passes of a step change."""
        for kept, buffer in zip(self._kept, self._statistics, strict=True):
            kept.copy_(buffer)

    @torch.no_grad()
    def undo(self) -> None:
        """Take back what the forward passes since `begin` have changed."""
        for kept, buffer in zip(self._kept, self._statistics, strict=True):
            buffer.copy_(kept)

    @torch.no_grad()
    def step(self, optimizer: Optimizer, state: TrainState, loss: torch.Tensor, norm: torch.Tensor) -> None:
        """Take the optimiser's step, or on all ranks none, and count it.

        Args:
            optimizer: As Fabric has set it up.
            state: Counts steps and losses.
            loss: Of this rank's batch, of shape ().
            norm: Of the gradient, of shape ().
        """
        skip = self._not_finite(loss, norm)
        if self._on_device:
            self._raw.found_inf = skip.float()  # type: ignore[attr-defined]  # fused kernels look for it
            optimizer.step()
            for kept, buffer in zip(self._kept, self._statistics, strict=True):
                torch.where(skip, kept, buffer, out=buffer)
        elif not skip:
            optimizer.step()
        else:
            self.undo()
            if self._scaler is not None:
                self._scaler.update()  # to a smaller factor, if it was a scaled gradient that overflowed
        state.count(loss, skip)

    def _not_finite(self, loss: torch.Tensor, norm: torch.Tensor) -> torch.Tensor:
        finite = torch.isfinite(loss) & torch.isfinite(norm)
        # Of no tensors the norm is on the CPU, and bringing it to a GPU would wait for the step.
        if self._floats:
            finite &= torch.isfinite(torch.nn.utils.get_total_norm(self._floats, torch.inf).to(norm.device))
        skip = ~finite
        return self._ranks.total(skip.float()) > 0

    def look(
        self, state: TrainState, files: Callable[[], list[Path]], advice: Callable[[], str], *, always: bool
    ) -> None:
        """Warn of steps that were skipped since the last look.

        Args:
            state: Has the counts.
            files: Those of the last step's batch.
            advice: Closes the error.
            always: Look even where that makes the host wait for a GPU.

        Raises:
            TrainingDivergedError: `MAX_IN_A_ROW` or more steps in a row were.
        """
        if self._on_device and not always and state.step % READ_EVERY:
            return
        skipped, in_a_row = (int(count) for count in torch.stack([state.skipped, state.skipped_in_a_row]).tolist())
        if skipped > self._told:
            self._told = skipped
            logger.warning(
                "step %d: the loss or its gradient was not finite; skipped such steps: %d in all, %d in a row",
                state.step,
                skipped,
                in_a_row,
            )
        if in_a_row >= MAX_IN_A_ROW:
            batch = files()
            named = [f"  {file}" for file in batch[:NAMED_FILES]]
            more = [f"  and {len(batch) - NAMED_FILES} more"] if len(batch) > NAMED_FILES else []
            found = f"the loss or its gradient was not finite in {in_a_row} steps in a row, up to step {state.step}"
            raise TrainingDivergedError("\n".join([f"{found}: {advice()}. The images of that step:", *named, *more]))

    def resumed(self, state: TrainState) -> None:
        """Do not warn again of steps that the interrupted run warned of."""
        self._told = int(state.skipped)
