"""`last.ckpt`: an exported model, and what resuming needs beyond it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import numpy.typing as npt
import torch

from lt_data import Preprocessing, structure
from lt_train.errors import ModelFileError, ResumeError
from lt_train.exported import CHECKPOINT_FORMAT, VERSION, ExportedModel, exported_from_content
from lt_train.learner import Learner, Snapshot
from lt_train.loggers.parameters import flat
from lt_train.metrics.tally import ClassTable, Tally
from lt_train.run_folder import RunFolder
from lt_train.state import Patience, TrainState, Validation
from lt_train.torchfile import read_torch_file

SPLITS = {"train_files": "training", "val_files": "validation", "test_files": "test"}
"""Digests of images and labels, and of what."""

DERIVED = ("task_spec", "train_preprocessing", "augmentation", "classifier", *SPLITS)
"""What follows from the arguments and the data; told of only where no argument differs."""

FREE_TO_CHANGE = frozenset({"num_workers", "loader_args", "resume_interrupted"})
"""Arguments that a resumed run may change: its result does not depend on them."""


def checkpoint_content(
    model: ExportedModel,
    learner: Snapshot,
    state: TrainState,
    loss_sums: torch.Tensor,
    identity: Mapping[str, Any],
    batch_size: int,
) -> dict[str, Any]:
    """What a checkpoint holds.

    Args:
        model: The model as of this step.
        learner: Its weights, and what training goes on with beside them.
        state: Progress of the run.
        loss_sums: `state.loss_sum` of each process, of shape (processes,): what they sum up to depends on the order.
        identity: Arguments and data of the run, JSON values; a resumed run must bring equal ones.
        batch_size: Over all processes, before any split; what "auto" found must not be found anew.
    """
    return {
        **model.content(),
        "format": CHECKPOINT_FORMAT,
        "optimizer": learner.moments,
        "scaler": learner.scaler,
        "best": _stored(state.best),
        "latest": _stored(state.latest),
        "validation_due": state.validation_due,
        "loss_sums": loss_sums,
        "loss_count": state.loss_count,
        "patience": attrs.asdict(state.patience),
        "training_weights": learner.training_weights,
        "skipped": state.skipped,
        "skipped_in_a_row": state.skipped_in_a_row,
        "tally": _tensors(state.tally.content()) if state.tally else None,
        "identity": json.dumps(identity),
        "batch_size": batch_size,
        "split": state.split,
    }


@attrs.frozen(eq=False)
class Checkpoint:
    """A checkpoint as read, its tensors on the CPU.

    Attributes:
        path: The file.
        content: What `checkpoint_content` made.
    """

    path: Path
    content: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path) -> Checkpoint:
        """Read it.

        Raises:
            ModelFileError: The file is missing, damaged or foreign.
        """
        return cls(path, read_torch_file(path, {CHECKPOINT_FORMAT: VERSION}))

    @property
    def batch_size(self) -> int:
        """Of the interrupted run, over all processes, before any split."""
        with self._damage():
            return int(self.content["batch_size"])

    @property
    def model(self) -> ExportedModel:
        """The model as of this step."""
        return exported_from_content(self.content, self.path)

    @property
    def train_preprocessing(self) -> Preprocessing:
        """What images become in training, before they are augmented."""
        with self._damage():
            return structure(json.loads(self.content["identity"])["train_preprocessing"], Preprocessing, "identity")

    def check(self, identity: Mapping[str, Any]) -> None:
        """Refuse to go on with other arguments or data.

        Raises:
            ResumeError: One differs from the interrupted run's; names it.
            ModelFileError: The file is damaged.
        """
        with self._damage():
            before = json.loads(self.content["identity"])
        _check_same(before, identity, self.path)

    def restore(self, learner: Learner, device: torch.device, rank: int, tally: Tally | None) -> TrainState:
        """Load weights and moments into a run.

        Args:
            learner: Takes them.
            device: Where the run is.
            rank: Which of its processes this is.
            tally: Takes the training batches counted since the last log; None where they are not measured, or by
                another process.

        Raises:
            ModelFileError: The file is damaged.
        """
        content = self.content
        with self._damage():
            learner.restore(
                Snapshot(content["model"], content["training_weights"], content["optimizer"], content["scaler"])
            )
            if tally is not None:
                tally.restore({name: tensor.numpy() for name, tensor in content["tally"].items()})
            loss_sum, loss_count, skipped, in_a_row = (
                torch.as_tensor(number, dtype=torch.float32, device=device)
                for number in (
                    content["loss_sums"][rank],
                    *(content[name] for name in ("loss_count", "skipped", "skipped_in_a_row")),
                )
            )
            return TrainState(
                step=content["step"],
                best=_restored(content["best"]),
                latest=_restored(content["latest"]),
                loss_sum=loss_sum,
                loss_count=loss_count,
                patience=Patience(**content["patience"]),
                tally=tally,
                skipped=skipped,
                skipped_in_a_row=in_a_row,
                validation_due=bool(content["validation_due"]),
                split=int(content["split"]),
            )

    @contextmanager
    def _damage(self) -> Iterator[None]:
        try:
            yield
        except (LookupError, ValueError, TypeError, AttributeError, RuntimeError) as error:
            raise ModelFileError(f"{self.path}: is damaged: {error}") from error


def interrupted_run(folder: RunFolder) -> tuple[ExportedModel, Preprocessing]:
    """The model of a run as of its last checkpoint, and what images become in its training, before augmentation.

    Raises:
        ModelFileError: The checkpoint is missing, damaged or foreign.
    """
    checkpoint = Checkpoint.read(folder.checkpoint)
    return checkpoint.model, checkpoint.train_preprocessing


def _stored(validation: Validation | None) -> dict[str, Any] | None:
    if validation is None:
        return None
    table = validation.table
    return {
        "step": validation.step,
        "metrics": validation.metrics,
        "support": torch.from_numpy(table.support),
        "columns": _tensors(table.columns),
        "confusion": torch.from_numpy(table.confusion),
    }


def _restored(stored: Mapping[str, Any] | None) -> Validation | None:
    if stored is None:
        return None
    columns = {name: tensor.numpy() for name, tensor in stored["columns"].items()}
    table = ClassTable(stored["support"].numpy(), columns, stored["confusion"].numpy())
    return Validation(stored["step"], dict(stored["metrics"]), table)


def _tensors(arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def _check_same(before: Mapping[str, Any], now: Mapping[str, Any], path: Path) -> None:
    flat_before, flat_now = flat(before), flat(json.loads(json.dumps(now)))
    differing = [
        name
        for name in sorted({*flat_before, *flat_now})
        if name.partition(".")[0] not in FREE_TO_CHANGE and not _same(flat_before.get(name), flat_now.get(name))
    ]
    splits = [SPLITS[name] for name in differing if name in SPLITS]
    arguments = [name for name in differing if not name.startswith(DERIVED)]
    if splits and not arguments:
        raise ResumeError(
            f"{path}: the {' and '.join(splits)} images have changed since: files were added, removed, renamed or "
            "relabelled. A run goes on only with the images and labels that it began with: bring them back, or give a "
            "new `out`"
        )
    if differing:
        lines = [
            f"  {name}: was {flat_before.get(name, '(not set)')!r}, is {flat_now.get(name, '(not set)')!r}"
            for name in arguments or differing
        ]
        what = "belongs to a run with other arguments; give the same ones, or a new `out`:"
        raise ResumeError("\n".join([f"{path}: {what}", *lines]))


def _same(before: Any, now: Any) -> bool:
    """Whether two values are equal; of paths one may be relative to the working directory, and the other absolute."""
    if before == now or not (isinstance(before, str) and isinstance(now, str)):
        return bool(before == now)
    return Path(before).is_absolute() != Path(now).is_absolute() and Path(before).absolute() == Path(now).absolute()
