"""Several labels an image, or none: which digits are on a house number of up to three handwritten digits.

    python examples/multilabel.py [--out out/multilabel]

Needs `pip install lightly-train scikit-learn`; nothing is downloaded. The house numbers are put together from
scikit-learn's 1,797 digits; no digit is in training and in validation.
"""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_digits

import lightly_train

PLACES = 3
IMAGES = {"train": 1200, "val": 240}
GOAL = 0.9


def write_house_numbers(root: Path) -> None:
    """Write `root/{train,val}/*.png` and the tables `root/{train,val}.csv`: image_path,label."""
    digits, rng = load_digits(), np.random.default_rng(0)
    order = rng.permutation(len(digits.target))
    samples_of = {"train": order[: len(order) * 3 // 4], "val": order[len(order) * 3 // 4 :]}
    for split, count in IMAGES.items():
        (root / split).mkdir(parents=True, exist_ok=True)
        with open(root / f"{split}.csv", "w", newline="") as file:
            table = csv.writer(file)
            table.writerow(["image_path", "label"])
            for i in range(count):
                # From 0 digits, an empty plate, to as many as there are places.
                chosen = rng.choice(samples_of[split], size=rng.integers(PLACES + 1))
                Image.fromarray(house_number(digits.images[chosen])).save(root / split / f"{i:04d}.png")
                # A cell such as "3,7", quoted by the writer; a label that is there twice counts once.
                names = sorted({str(label) for label in digits.target[chosen]})
                table.writerow([f"{split}/{i:04d}.png", ",".join(names)])


def house_number(digits: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    """Digits, values from 0 to 16 of shape (N, 8, 8), side by side on a dark plate: uint8 of shape (8, 8 * PLACES)."""
    plate = np.zeros((8, 8 * PLACES), dtype=np.uint8)
    for place, digit in enumerate(digits):
        plate[:, 8 * place : 8 * (place + 1)] = (digit * (255 / 16)).round()
    return plate


def train(out: Path, data: dict[str, Any]) -> lightly_train.TrainResult:
    """Train a small network from random weights."""
    return lightly_train.train_image_classification(
        out=out,
        overwrite=True,
        model="timm/test_resnet-notpretrained",
        classification_task="multilabel",
        data=data,
        epochs=15,
        batch_size=32,
        model_args={"lr": 1.5e-3},
        transform_args={
            "image_size": (32, 32 * PLACES),
            "random_crop": None,  # a crop may cut off a digit, whose label would then be wrong
            "random_flip": None,  # a mirrored digit is another sign
            "color_jitter": None,
            "val": {"resize_scale": 1.0},
        },
    )


def main() -> int:
    """Run all of it; returns 1 if too little is learnt."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("out/multilabel"))
    out = parser.parse_args().out

    root = out / "house_numbers"
    write_house_numbers(root)
    data = {
        "train_csv": root / "train.csv",
        "val_csv": root / "val.csv",
        "classes": {digit: str(digit) for digit in range(10)},
    }
    result = train(out / "run", data)
    assert result.exported_best is not None
    model = lightly_train.load_model(result.exported_best)
    console = Console(soft_wrap=True)

    # How good is each class? The same figures are in `run/per_class.csv` and in `run/report.html`.
    evaluation = model.evaluate(data, split="val")
    figures = Table("class", "images", "precision", "recall", "F1", "average precision", title="Each class")
    for row in evaluation.per_class:
        values = (row[key] for key in ("precision", "recall", "f1", "average_precision"))
        figures.add_row(row["name"], str(row["support"]), *(f"{value:.3f}" for value in values))
    console.print(figures)

    # A class is predicted where its score is above the threshold: a low one finds more, a high one errs less.
    sweep = Table("threshold", "precision", "recall", "F1", title="All classes together")
    for threshold in (0.1, 0.3, 0.5, 0.7, 0.9):
        metrics = model.evaluate(data, split="val", metric_args={"threshold": threshold}).metrics
        sweep.add_row(
            f"{threshold}", *(f"{metrics[name]:.3f}" for name in ("precision_micro", "recall_micro", "f1_micro"))
        )
    console.print(sweep)

    with open(root / "val.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows[:6]:
        prediction = model.predict(root / row["image_path"], threshold=0.5)
        found = zip(prediction["labels"].tolist(), prediction["scores"].tolist(), strict=True)
        said = ", ".join(f"{model.classes[label]} ({score:.2f})" for label, score in found) or "nothing"
        console.print(f"{row['image_path']}  there is: {row['label'] or 'nothing'}  found: {said}")

    # What `predict` says, counted by hand, is what training reported.
    reported = result.best_metrics["val_metric/f1_micro"]
    counted = counted_f1(model, root, rows)
    console.print(f"F1 over all decisions: {reported:.4f} reported by training, {counted:.4f} counted from predict")
    return int(reported < GOAL or abs(reported - counted) > 1e-6)


def counted_f1(model: lightly_train.ImageClassification, root: Path, rows: list[dict[str, str]]) -> float:
    """2 TP / (2 TP + FP + FN) over all images and classes."""
    right = predicted = true = 0
    for row in rows:
        labels = {int(label) for label in row["label"].split(",") if label}
        found = set(model.predict(root / row["image_path"], threshold=0.5)["labels"].tolist())
        right, predicted, true = right + len(labels & found), predicted + len(found), true + len(labels)
    return 2 * right / (predicted + true)


if __name__ == "__main__":
    sys.exit(main())
