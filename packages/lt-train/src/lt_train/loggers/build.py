"""The loggers that a run asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import attrs

from lt_train.config import LoggerArgs
from lt_train.loggers.base import MetricLogger
from lt_train.run_folder import RunFolder


@attrs.frozen
class Loggers:
    """Several loggers as one; none on ranks above 0."""

    members: tuple[MetricLogger, ...]

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Hand values to each."""
        for member in self.members:
            member.log(step, values)


@contextmanager
def open_loggers(args: LoggerArgs, folder: RunFolder, *, resume_step: int, enabled: bool) -> Iterator[Loggers]:
    """Open the loggers for the length of a run.

    Args:
        args: Which ones.
        folder: Where they write.
        resume_step: Step that the run goes on from, 0 at the start.
        enabled: False on ranks above 0.
    """
    members: list[MetricLogger] = []
    try:
        if enabled and args.jsonl is not None:
            from lt_train.loggers.jsonl import JsonlLogger

            members.append(JsonlLogger(folder.metrics, resume_step=resume_step))
        if enabled and args.tensorboard is not None:
            from lt_train.loggers.tensorboard import TensorBoardLogger

            members.append(TensorBoardLogger(folder.root, args.tensorboard, resume_step=resume_step))
        yield Loggers(tuple(members))
    finally:
        for member in members:
            member.close()
