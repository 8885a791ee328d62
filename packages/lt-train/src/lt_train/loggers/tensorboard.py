"""TensorBoard event files."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from torch.utils.tensorboard.writer import SummaryWriter

from lt_train.config import TensorBoardArgs


class TensorBoardLogger:
    """Writes scalars; steps that a resumed run repeats are purged from its curves."""

    def __init__(self, root: Path, args: TensorBoardArgs, *, resume_step: int) -> None:
        folder = root / args.name / args.version / (args.sub_dir or "")
        self._prefix = f"{args.prefix}/" if args.prefix else ""
        self._writer = SummaryWriter(str(folder), purge_step=resume_step + 1 if resume_step else None)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Write each value as a scalar; NaN leaves a gap."""
        for name, value in values.items():
            if not math.isnan(value):
                self._writer.add_scalar(self._prefix + name, value, step)

    def close(self) -> None:
        """Write what is pending."""
        self._writer.close()
