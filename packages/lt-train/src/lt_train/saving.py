"""What a run writes at a step: the best model, the checkpoint, the last model."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch

from lt_data import TaskSpec
from lt_models import Classifier, ClassifierSpec
from lt_train.checkpoint import checkpoint_content
from lt_train.config import SaveCheckpointArgs
from lt_train.errors import ModelFileError, ResumeError, TrainingDivergedError
from lt_train.exported import ExportedModel, load_exported, save_exported
from lt_train.host_copies import HostCopies
from lt_train.learner import Snapshot
from lt_train.ranks import FabricRanks
from lt_train.run_folder import RunFolder
from lt_train.run_report import finite_or_none
from lt_train.sharding import own_share
from lt_train.signals import StopRequest
from lt_train.state import TrainState
from lt_train.torchfile import write_torch_file
from lt_train.writer import BackgroundWriter

logger = logging.getLogger(__name__)


class Saver:
    """Copies the state of a step, and writes the copy in the background; training stalls for the copy only.

    Files of one step are written one after the other, the checkpoint first: what a kill then leaves out is the
    checkpoint's own model, see `complete_exports`. So each new best model comes with a checkpoint.
    """

    def __init__(
        self, out: RunFolder, task: TaskSpec, spec: ClassifierSpec, identity: Mapping[str, Any], *, export_last: bool
    ) -> None:
        self._out, self._task, self._spec, self._identity = out, task, spec, identity
        self._export_last = export_last
        self._copies, self._writer, self._reserved = HostCopies(), BackgroundWriter(), False

    def reserve(self, snapshot: Callable[[], Snapshot]) -> None:
        """Make room in memory for the copies, in the background, once the optimiser has its moments."""
        if self._reserved:
            return
        self._reserved, saved = True, snapshot()
        content: dict[str, Any] = {"model": saved.weights, "optimizer": saved.moments}
        if saved.training_weights is not None:
            content["training_weights"] = saved.training_weights
        self._writer.start(partial(self._copies.reserve, content))

    def save(
        self, state: TrainState, learner: Snapshot, loss_sums: torch.Tensor, batch_size: int, *, best: bool
    ) -> None:
        """Save a step: wait for the save before, copy, and leave the writing to the background.

        Args:
            state: As of this step.
            learner: As of this step.
            loss_sums: `state.loss_sum` of each process, of shape (processes,).
            batch_size: Of the run, over all processes, before any split.
            best: Export the model as the best too.

        Raises:
            OutOfSpaceError: A file of the save before did not fit on the disk.
            OSError: It could not be written for another reason.
        """
        self._writer.wait()
        model = ExportedModel(self._task, self._spec, learner.weights, dict(state.metrics), state.step)
        copied = self._copies.take(checkpoint_content(model, learner, state, loss_sums, self._identity, batch_size))
        exported = model.content() | {"model": copied["model"]}
        files: list[tuple[Path, Mapping[str, Any]]] = [(self._out.checkpoint, copied)]
        if best:
            files.append((self._out.exported_best, exported))
        if self._export_last:
            files.append((self._out.exported_last, exported))
        self._writer.start(partial(_write_all, files))

    def look(self) -> None:
        """Raise what went wrong in the background, as soon as it is known; see `save`."""
        self._writer.look()

    def wait(self) -> None:
        """Wait until everything is on the disk; raises as `save` does."""
        self._writer.wait()

    @contextmanager
    def closing(self, stop: StopRequest) -> Iterator[None]:
        """Wait at the end of the block, also when it raises, unless the program was told twice to stop."""
        try:
            yield
        except BaseException:
            if not stop.urgent:
                try:
                    self.wait()
                except Exception as error:  # the first error is the one to raise
                    logger.error("the last save failed: %s", error)
            raise
        self.wait()


def complete_exports(out: RunFolder, model: ExportedModel, state: TrainState, asked: SaveCheckpointArgs) -> None:
    """Export what a kill left out after the checkpoint was written.

    Args:
        out: The run's.
        model: That of the checkpoint.
        state: Likewise.
        asked: What is exported.

    Raises:
        ResumeError: The best model so far is of an earlier step, and its file is gone or another's.
        OutOfSpaceError: A file does not fit on the disk.
    """
    if asked.save_last and not _holds(out.exported_last, state.step, state.metrics):
        save_exported(out.exported_last, model)
    if asked.save_best and state.best and not _holds(out.exported_best, state.best.step, state.best.metrics):
        if state.best.step != model.step:
            raise ResumeError(
                f"{out.exported_best}: is missing, or not the best model so far, that of step {state.best.step}; put "
                "that file back, or start anew with `overwrite` in place of `resume_interrupted`"
            )
        save_exported(out.exported_best, model)


def check_weights(classifier: Classifier, step: int, ranks: FabricRanks) -> None:
    """Refuse to save weights that one step has thrown out of the range of numbers; all processes must ask.

    Raises:
        TrainingDivergedError: A weight is not finite, in any of them.
    """
    weights = [own_share(parameter.detach()) for parameter in classifier.parameters()]
    largest = torch.nn.utils.get_total_norm([weight for weight in weights if weight.numel()], torch.inf)
    (broken,) = ranks.largest(int(not torch.isfinite(largest)))
    if broken:
        raise TrainingDivergedError(f"a weight is not finite at step {step}, which was not saved: lower model_args.lr")


def _write_all(files: list[tuple[Path, Mapping[str, Any]]]) -> None:
    for path, content in files:
        write_torch_file(path, content)


def _holds(path: Path, step: int, metrics: Mapping[str, float]) -> bool:
    """Whether an exported model is whole and of that step and validation."""
    try:
        found = load_exported(path)
    except ModelFileError:
        return False
    return found.step == step and finite_or_none(found.metrics) == finite_or_none(metrics)
