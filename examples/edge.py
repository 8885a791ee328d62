"""Classify images with an ONNX file, on a machine with `pip install "lt-export[onnxruntime]"` and nothing else.

    python edge.py model.onnx image.png [image.png ...]

Prints one JSON object an image.
"""

from __future__ import annotations

import json
import sys

import lt_export


def main(model: str, images: list[str]) -> None:
    """Print labels and scores of each image."""
    classifier = lt_export.load(model)
    for image in images:
        result = classifier.predict(image, topk=1)
        label, score = int(result["labels"][0]), float(result["scores"][0])
        print(json.dumps({"image": image, "label": label, "name": classifier.classes[label], "score": score}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
