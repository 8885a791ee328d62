"""The test split, once, at the end of a run."""

from __future__ import annotations

import logging

import torch
from lightning_fabric import Fabric

from lt_data import SampleIndex
from lt_data.torch import EvalDataset, eval_loader
from lt_models import Classifier, build_classifier
from lt_train.bad_images import count_together, shared_bad_images
from lt_train.exported import load_exported
from lt_train.metrics.plan import TEST, TEST_LOSS
from lt_train.ranks import FabricRanks
from lt_train.run import Run, shown
from lt_train.signals import StopRequest
from lt_train.state import TrainState, Validation
from lt_train.validate import validate, warn_of_scores

logger = logging.getLogger(__name__)


def score_test_split(run: Run, state: TrainState, samples: SampleIndex, stop: StopRequest) -> Validation | None:
    """Run the best model over the test split, on all ranks, and count it as validation is counted.

    Args:
        run: It has ended, and its files are on the disk.
        state: As of its end.
        samples: The test split.
        stop: Ends it early.

    Returns:
        Values by logged name; the step is that of the model. When a rank is asked to stop, the program is left.

    Raises:
        ModelFileError: The file of the best model is gone or damaged.
        ImageDecodeError: A file is not a whole image, and such files are not to be skipped.
        DatasetError: They are, but too many are such files.
    """
    fabric = run.fabric
    classifier, step = _tested_model(run, state)
    batches = eval_loader(
        EvalDataset(samples, run.task.preprocessing),
        batch_size=run.batch_size // fabric.world_size,
        rank=fabric.global_rank,
        world_size=fabric.world_size,
        bad_images=shared_bad_images(run.data.on_bad_image, len(samples), run.ranks),
        **run.loading,
    )
    tally = validate(fabric, classifier, batches, run.metrics, stop)
    count_together(batches.bad_images, run.ranks)
    if tally is None:
        run.leave(state, stop)
        return None
    warn_of_scores(tally, "test", step)
    values = {f"{TEST}{name}": value for name, value in tally.values().items()}
    test = Validation(step, {TEST_LOSS: tally.mean_loss(), **values}, tally.table())
    text = "  ".join(f"{name} {value:.4g}" for name, value in shown(test.metrics).items())
    logger.info("test: %d images, model of step %d: %s", tally.samples, step, text)
    return test


def _tested_model(run: Run, state: TrainState) -> tuple[Classifier, int]:
    """The exported best model and its step; where none was exported, that of the last step, and it is said."""
    best = state.best if run.config.save_checkpoint_args.save_best else None
    if best is None:
        logger.warning("test: no best model was saved; it is the last one that is tested")
        weights, step = run.learner.snapshot().weights, state.step
    else:
        # Other nodes need not see the folder.
        weights = load_exported(run.out.exported_best).state if run.fabric.is_global_zero else {}
        step = best.step
    return _whole_classifier(run.fabric, run.classifier, weights), step


def _whole_classifier(fabric: Fabric, like: Classifier, weights: dict[str, torch.Tensor]) -> Classifier:
    """A classifier with the first rank's weights, whole on every rank, also where those of the run are sharded."""
    classifier = build_classifier(like.spec, pretrained=False)
    if fabric.is_global_zero:
        classifier.load_state_dict(weights)
    classifier.to(fabric.device)
    FabricRanks(fabric).share_weights(classifier)
    return classifier
