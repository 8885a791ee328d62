"""What balancing does to each metric, on scikit-learn's digits made imbalanced: docs/imbalance.md.

    python tools/bench/imbalance.py

Five digits have 60 training images each, five have 4; 80 others of each validate. The figures are what they would be
with the classes as frequent as in training, from the counts of the last validation. Takes some 5 minutes of one core.
"""

from __future__ import annotations

import json
import logging
import statistics
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from small_sets import digits, write_classes

import lightly_train

SEEDS = (0, 1, 2)
TRAIN = (60,) * 5 + (4,) * 5
RARE = slice(5, 10)
STEPS = 300
ROWS: Mapping[str, Mapping[str, Any]] = {
    "the defaults": {},
    '"class_weights": "balanced"': {"class_weights": "balanced"},
    '"sampler": "balanced"': {"sampler": "balanced"},
    '"loss": "focal"': {"loss": "focal"},
    '"loss": "focal", "class_weights": "balanced"': {"loss": "focal", "class_weights": "balanced"},
}


def confusions(data: Mapping[str, Any], change: Mapping[str, Any], seed: int) -> npt.NDArray[np.float64]:
    """Of the last validation: rows are classes, columns what was predicted."""
    with tempfile.TemporaryDirectory() as out:
        lightly_train.train_image_classification(
            out=Path(out) / "run",
            model="timm/test_efficientnet-notpretrained",
            data=data,
            steps=STEPS,
            num_workers=0,
            accelerator="cpu",
            seed=seed,
            model_args={"lr": 3e-3, **change},
            logger_args={"val_every_num_steps": STEPS, "tensorboard": None},
            transform_args={"image_size": (32, 32), "random_flip": None},
        )
        counts = json.loads((Path(out) / "run/metrics.json").read_text())["confusion"]["counts"]
    return np.array(counts, dtype=np.float64)


def figures(counts: npt.NDArray[np.float64]) -> dict[str, float]:
    """In percent, with the rows as frequent as in training."""
    frequent = counts * (np.array(TRAIN) / counts.sum(axis=1))[:, None]
    right, drawn, predicted = frequent.diagonal(), frequent.sum(axis=1), frequent.sum(axis=0)
    recalls = right / drawn
    f1 = 2 * right / (drawn + predicted)
    found = {
        "accuracy": right.sum() / drawn.sum(),
        "balanced accuracy": recalls.mean(),
        "macro F1": f1.mean(),
        "recall of the rare": recalls[RARE].mean(),
        "precision of the rare": right[RARE].sum() / max(predicted[RARE].sum(), 1e-9),
    }
    return {name: float(100 * value) for name, value in found.items()}


def main() -> None:
    """Print the table, in Markdown."""
    logging.getLogger().addHandler(logging.NullHandler())  # the runs' own lines stay away
    with tempfile.TemporaryDirectory() as folder:
        data = write_classes(Path(folder), digits(), TRAIN, 80)
        for number, (name, change) in enumerate(ROWS.items()):
            runs = [figures(confusions(data, change, seed)) for seed in SEEDS]
            if number == 0:
                print(f"| `model_args` | {' | '.join(runs[0])} |\n|{' --- |' * (len(runs[0]) + 1)}")
            values = ([run[metric] for run in runs] for metric in runs[0])
            cells = (f"{statistics.mean(found):.1f} ± {statistics.stdev(found):.1f}" for found in values)
            print(f"| `{name}` | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
