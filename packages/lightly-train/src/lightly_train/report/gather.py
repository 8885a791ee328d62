"""From a finished run to what its report shows."""

from __future__ import annotations

import json
import platform
from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt
import torch

from lightly_train.arguments import Arguments
from lightly_train.loading import load_model
from lightly_train.report.data import AugmentedSample, ReportData, Series
from lightly_train.report.names import metric_name, metric_value, training_twin
from lightly_train.report.numbers import count
from lightly_train.scored import ScoredSamples
from lightly_train.scoring import score_samples
from lt_data import DatasetIndex, ImageDecodeError, SampleIndex, TaskSpec, listed, usable_processors
from lt_data.torch import Augmentation, class_by_class, sample_views
from lt_train import RunFolder, TrainResult
from lt_train.metrics import LOSS, TEST, TEST_LOSS, VAL, is_classwise

MOST_SCORED = 30_000
"""Validation images of a report; of more an even sample is scored."""
MOST_SCORES = 2**27
"""Scores that are held in memory, 0.5 GB of them."""

AUGMENTED_SAMPLES, AUGMENTED_VIEWS = 4, 5

MOST_TRIES = 40
"""Training images that are tried, should some be unreadable."""


@attrs.frozen(eq=False, kw_only=True)
class FinishedRun:
    """What a report is made from.

    Attributes:
        arguments: The user's.
        result: How the run ended.
        index: The images and labels.
        task: What was learnt.
        augmentation: What training did to images.
        device: Where the run validated, and where the model is to be run again.
    """

    arguments: Arguments
    result: TrainResult
    index: DatasetIndex
    task: TaskSpec
    augmentation: Augmentation
    device: torch.device


def gather(run: FinishedRun) -> ReportData:
    """Score the validation images with the best model, and collect everything else.

    Raises:
        DatasetError: Too many validation images can no longer be read.
        ImageDecodeError: One cannot, and such images are not to be skipped.
        ModelFileError: The model's scores are not finite.
        OSError: A file of the run cannot be read.
    """
    result, index, folder = run.result, run.index, RunFolder(run.result.out)
    settings = read_settings(folder.settings)
    file = result.exported_best or result.exported_last or folder.checkpoint
    of_best = result.exported_best is not None
    model = load_model(file, device=run.device)
    most = max(1, min(MOST_SCORED, MOST_SCORES // len(run.task.classes)))
    samples = even_sample(index.val, most)
    on_bad_image = run.arguments.data.on_bad_image
    scored = score_samples(
        model,
        samples,
        batch_size=max(1, int(settings["resolved"]["batch_size"]) // int(settings["devices"]["count"])),
        num_workers=int(settings["resolved"]["num_workers"]),
        on_bad_image=on_bad_image,
        log_unreadable=False,  # validation has
    )
    watched = watched_of(folder.report)
    curves = read_curves(folder.metrics, watched)
    last_step = max((int(one.x[-1]) for one in curves.values()), default=result.best_step)
    step = result.best_step if of_best else last_step
    threshold = run.arguments.training.metric_args.threshold
    assert threshold != "auto", "a run whose metrics need thresholds that it does not have was never started"
    return ReportData(
        title=folder.root.resolve().name,
        created=datetime.now().astimezone(),
        scored=scored,
        num_validation=len(index.val),
        threshold=threshold,
        metrics=result.best_metrics if of_best else result.last_metrics,
        watched=watched,
        facts=(
            ("Task", run.task.task),
            ("Model", run.arguments.model),
            ("Model of this report", file.name),
            ("Steps", f"{count(last_step)} of {count(int(settings['resolved']['steps']))}"),
            ("Training images", count(len(index.train))),
            ("Validation images", count(len(index.val))),
            ("Classes", count(len(run.task.classes))),
            ("Image size", "{} x {} pixels".format(*run.task.preprocessing.image_size)),
            *test_facts(run),
        ),
        curves=curves,
        best_step=step,
        class_counts={"training": images_by_class(index.train), "validation": images_by_class(index.val)},
        augmented=augmented(run),
        arguments=argument_rows(settings),
        environment=environment(settings, run.device),
        notes=notes(run, scored),
    )


def even_sample(samples: SampleIndex, most: int) -> SampleIndex:
    """All samples, or `most` of them in equal distances: each class has its share where its files are neighbours."""
    if len(samples) <= most:
        return samples
    return samples.take(np.linspace(0, len(samples) - 1, most).round().astype(np.int64))


def notes(run: FinishedRun, scored: ScoredSamples) -> tuple[str, ...]:
    """What the reader must know before the figures."""
    asked, total = len(scored.samples) + len(scored.unreadable), len(run.index.val)
    texts = []
    if asked < total:
        texts.append(
            f"Everything below the headline numbers and curves is of an even sample of {count(asked)} of the "
            f"{count(total)} validation images."
        )
    if scored.unreadable:
        bad = [problem.where for problem in scored.unreadable]
        texts.append(f"Validation images that could not be read are left out, {count(len(bad))} of them: {listed(bad)}")
    if run.result.exported_best is None:
        texts.append("This report is of the last model: no best one was saved.")
    return tuple(texts)


def read_settings(path: Path) -> dict[str, Any]:
    """`settings.json` of a run."""
    settings: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return settings


def watched_of(path: Path) -> str:
    """The metric that decided, of a run's `metrics.json`."""
    return str(json.loads(path.read_text(encoding="utf-8"))["watched"])


def test_facts(run: FinishedRun) -> tuple[tuple[str, str], ...]:
    """The metrics of the test split, where there is one."""
    values = run.result.test_metrics
    if values is None or run.index.test is None:
        return ()
    as_validated = {name.replace(TEST_LOSS, LOSS).replace(TEST, VAL): value for name, value in values.items()}
    rows = [
        (f"Test: {metric_name(name)}", metric_value(name, value))
        for name, value in as_validated.items()
        if not is_classwise(name)
    ]
    return ("Test images", count(len(run.index.test))), *rows


def read_curves(path: Path, watched: str) -> dict[str, Series]:
    """Values over steps by logged name, of a run's `metrics.jsonl`; of single classes only what is watched."""
    if not path.is_file():
        return {}
    values: defaultdict[str, list[tuple[int, float]]] = defaultdict(list)
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            entry = json.loads(line)
            step = entry.pop("step")
            for name, value in entry.items():
                if not is_classwise(name) or name in (watched, training_twin(watched)):
                    values[name].append((step, np.nan if value is None else value))
    return {name: Series(name, *np.array(points, dtype=np.float64).T) for name, points in values.items()}


def images_by_class(samples: SampleIndex) -> npt.NDArray[np.int64]:
    """Images of each class; a multilabel image counts for each of its classes."""
    return np.bincount(samples.labels, minlength=samples.num_classes).astype(np.int64)


def augmented(run: FinishedRun) -> tuple[AugmentedSample, ...]:
    """Some training images as training sees them; those that cannot be read are passed over, as the log has said."""
    train, seed = run.index.train, run.arguments.training.seed
    found: list[AugmentedSample] = []
    for sample in class_by_class(train, seed=seed)[:MOST_TRIES].tolist():
        if len(found) == AUGMENTED_SAMPLES:
            break
        try:
            views = sample_views(train, sample, run.augmentation, run.task.preprocessing, AUGMENTED_VIEWS, seed)
        except ImageDecodeError:
            continue
        labels = ", ".join(run.task.classes.names[label] for label in train.labels_of(sample)[:5]) or "no label"
        found.append(AugmentedSample(f"{labels} · {train.path(sample).name}", tuple(views)))
    return tuple(found)


def argument_rows(settings: Mapping[str, Any]) -> tuple[tuple[str, str, str], ...]:
    """Name, value and reason of every argument, but for the classes, which the report names elsewhere."""
    resolved = dict(settings["resolved"])
    peak = resolved.pop("resolved.lr")
    reasons = {"model_args.lr": f"{peak:.3g} at its peak, scaled to the batch", **settings["reasons"]}
    rows = resolved.items()
    return tuple(
        (name, str(value), str(reasons.get(name, ""))) for name, value in rows if not name.startswith("data.classes.")
    )


def environment(settings: Mapping[str, Any], device: torch.device) -> tuple[tuple[str, str], ...]:
    """Machine and versions."""
    devices = settings["devices"]
    name = f" ({devices['name']})" if devices["name"] else ""
    packages = {"lightly-train": version("lightly-train"), **settings["packages"]}
    return (
        ("Devices", f"{devices['count']} x {devices['type']}{name} on {devices['nodes']} machine(s)"),
        ("Precision", f"{devices['precision']}, {devices['strategy']}"),
        ("Report computed on", str(device)),
        ("Processors", f"{usable_processors()}, {platform.machine()}"),
        ("System", f"{platform.system()} {platform.release()}"),
        ("Python", platform.python_version()),
        *packages.items(),
    )
