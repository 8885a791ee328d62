"""Count parameters and features of every model, for `lt_models.describe_models`; run it when timm has new models.

Models are built on the meta device, where they need neither memory nor time.
"""

from __future__ import annotations

import csv
import warnings
from pathlib import Path

import torch

from lt_models import LtModelsError, build_classifier, list_models, model_input
from lt_models.spec import ClassifierSpec

TABLE = Path(__file__).parents[1] / "packages/lt-models/src/lt_models/sizes.csv"


def counted(name: str) -> tuple[str, int, int]:
    """A row of the table: name, parameters of the backbone, and features."""
    spec = ClassifierSpec(model=name, num_classes=1, image_size=model_input(name).image_size)
    try:
        with torch.device("meta"):
            classifier = build_classifier(spec, pretrained=False)
    except LtModelsError:  # torchvision's RegNets compute their widths with tensors
        classifier = build_classifier(spec, pretrained=False)
    return name, sum(parameter.numel() for parameter in classifier.backbone.parameters()), classifier.num_features


def main() -> None:
    """Write the table anew."""
    warnings.simplefilter("ignore")
    with TABLE.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        for name in list_models():
            writer.writerow(counted(name))


if __name__ == "__main__":
    main()
