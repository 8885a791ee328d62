"""What is found out about a run before its first step."""

from __future__ import annotations

import torch

from lt_data import ImageDecodeError, TaskSpec, load_image
from lt_models import Classifier
from lt_train.data import TrainData
from lt_train.errors import TrainConfigError

TRIED_IMAGES = 5
"""Where bad images are skipped, so many of a split are tried before all of them are taken to be of the wrong kind."""


@torch.no_grad()
def check_input_sizes(classifier: Classifier, task: TaskSpec, data: TrainData) -> None:
    """Run the model once at each image size, so that a size it cannot take is found before training.

    Raises:
        TrainConfigError: The model cannot take such images.
    """
    training = classifier.training
    classifier.eval()
    for channels, (height, width) in {
        (spec.num_channels, spec.image_size) for spec in (data.augmentation.preprocessing, task.preprocessing)
    }:
        try:
            classifier(torch.zeros(1, channels, height, width))
        # Models of many authors refuse a size by exceptions of many types.
        except Exception as error:
            raise TrainConfigError(
                f"transform_args.image_size: {classifier.spec.model} cannot take images of {height} x {width} pixels "
                f"and {channels} channels: {error}"
            ) from error
    classifier.train(training)


def check_first_images(task: TaskSpec, data: TrainData) -> None:
    """Read an image of each split, so that images of another kind than asked for are found before training.

    Raises:
        ImageDecodeError: The first image, or each of the first few where bad ones are skipped, does not have
            `num_channels`, or is broken.
    """
    evaluated = [data.val] if data.test is None else [data.val, data.test]
    splits = [(data.train, data.augmentation.preprocessing), *((samples, task.preprocessing) for samples in evaluated)]
    for samples, spec in splits:
        last = 0 if data.on_bad_image == "error" else min(len(samples), TRIED_IMAGES) - 1
        for sample in range(last + 1):
            try:
                load_image(samples.image(sample), spec.num_channels, spec.decoding)
                break
            except ImageDecodeError:
                if sample == last:
                    raise
