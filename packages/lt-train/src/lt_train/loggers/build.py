"""The loggers that a run asked for."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from torch import nn

from lt_data import Preprocessing
from lt_train.errors import TrainConfigError
from lt_train.loggers.base import MetricLogger, Outcome, Picture, Scalar
from lt_train.loggers.config import LoggerArgs, model_loggers
from lt_train.loggers.guarded import GuardedLogger
from lt_train.run_folder import RunFolder

logger = logging.getLogger(__name__)


class Loggers(MetricLogger):
    """Several loggers as one; none on ranks above 0.

    Attributes:
        have_all: Whether they have been given all of a complete run; a page about it may follow.
    """

    def __init__(self, members: Sequence[MetricLogger]) -> None:
        self._members = members
        self.have_all = False

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Hand values to each."""
        for member in self._members:
            member.log(step, values)

    def parameters(self, parameters: Mapping[str, Scalar]) -> None:
        """Hand the resolved arguments to each."""
        for member in self._members:
            member.parameters(parameters)

    def picture(self, step: int, name: str, picture: Picture) -> None:
        """Hand a picture to each."""
        for member in self._members:
            member.picture(step, name, picture)

    def graph(self, model: nn.Module, inputs: Preprocessing) -> None:
        """Hand the model to each."""
        for member in self._members:
            member.graph(model, inputs)

    def files(self, files: Sequence[Path], model: Path | None) -> None:
        """Hand files to each."""
        for member in self._members:
            member.files(files, model)

    def report(self, page: Path) -> None:
        """Hand the page to each."""
        for member in self._members:
            member.report(page)

    def close(self, outcome: Outcome = "finished") -> None:
        """Close each."""
        for member in self._members:
            member.close(outcome)


def check_loggers(args: LoggerArgs, *, save_best: bool, sharded: bool = False) -> None:
    """Refuse loggers that cannot work, before anything is trained.

    Raises:
        TrainConfigError: One is not installed or not logged in, or is to keep a model that is not saved, or to draw one
            that no process has as a whole.
    """
    if sharded and args.tensorboard is not None and args.tensorboard.log_graph:
        raise TrainConfigError("logger_args.tensorboard.log_graph: cannot be drawn with strategy='fsdp'")
    for name, asked in (("mlflow", args.mlflow), ("wandb", args.wandb)):
        if asked is not None and find_spec(name) is None:
            raise TrainConfigError(f'logger_args.{name}: is not installed: pip install "lightly-train[{name}]"')
    if not save_best and model_loggers(args):
        name = model_loggers(args)[0]
        raise TrainConfigError(f"logger_args.{name}.log_model: needs save_checkpoint_args.save_best, which is off")
    if args.wandb is not None:
        from lt_train.loggers.wandb import check_login

        check_login(args.wandb)


@contextmanager
def open_loggers(args: LoggerArgs, folder: RunFolder, *, resume_step: int, enabled: bool) -> Iterator[Loggers]:
    """Open the loggers for the length of a run.

    Args:
        args: Which ones; `check_loggers` has approved of them.
        folder: Where they write.
        resume_step: Step that the run goes on from, 0 at the start.
        enabled: False on ranks above 0.
    """
    loggers = Loggers([*_local(args, folder, resume_step), *_remote(args, folder, resume_step)] if enabled else [])
    outcome: Outcome = "failed"
    try:
        yield loggers
        outcome = "finished"
    except (KeyboardInterrupt, SystemExit):
        outcome = "finished" if loggers.have_all else "stopped"
        raise
    finally:
        loggers.close(outcome)


def _local(args: LoggerArgs, folder: RunFolder, resume_step: int) -> Iterator[MetricLogger]:
    """Those that write into the run folder; one that cannot be opened is warned of."""
    wanted: dict[str, Callable[[], MetricLogger]] = {}
    if args.jsonl is not None:
        from lt_train.loggers.jsonl import JsonlLogger

        wanted["metrics.jsonl"] = lambda: JsonlLogger(folder.metrics, resume_step=resume_step)
    board = args.tensorboard
    if board is not None:
        from lt_train.loggers.tensorboard import TensorBoardLogger

        wanted["TensorBoard"] = lambda: TensorBoardLogger(folder.root, board, resume_step=resume_step)
    for name, make in wanted.items():
        try:
            yield GuardedLogger(name, make())
        except OSError as error:
            logger.warning("%s: cannot be written, the run goes on without: %s", name, error)


def _remote(args: LoggerArgs, folder: RunFolder, resume_step: int) -> Iterator[MetricLogger]:
    """Those that talk to a service; their libraries are imported here, and not while steps are made."""
    if args.mlflow is None and args.wandb is None:
        return
    from lt_train.loggers.remote import RemoteLogger
    from lt_train.loggers.tracking import TrackingFile

    tracking, resumed = TrackingFile(folder.tracking), resume_step > 0
    if args.mlflow is not None:
        from lt_train.loggers.mlflow import MLflowService

        yield RemoteLogger(
            "MLflow", MLflowService(args.mlflow, tracking, resumed=resumed), log_model=args.mlflow.log_model
        )
    if args.wandb is not None:
        from lt_train.loggers.wandb import WandbService

        yield RemoteLogger(
            "W&B",
            WandbService(args.wandb, folder.root, tracking, resumed=resumed),
            log_model=args.wandb.log_model,
            offline=args.wandb.offline,
        )
