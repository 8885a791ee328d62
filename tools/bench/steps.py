"""Steps a second of a run against a bare PyTorch loop, with tensors in memory and from JPEG files.

    python tools/bench/steps.py [--only resnet18] [--rounds 5] [--workers 2]

Needs scikit-learn. With a batch in memory a run of ours and the loop of `bare.py` take turns inside one process, step
by step on CPUs, in blocks of steps on GPUs; a step of ours is counted from one batch to when the next one is asked for,
so that all that the loop does is in it. From JPEG files of 500 x 375 pixels whole runs take turns with the bare loop,
which still has its batch in memory; a run is compared with the steps before it and after it, as a machine that others
share changes its speed meanwhile. Start, warm-up, and the validation at the end are not counted. Prints medians over
rounds, with the least and the greatest.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import NamedTuple
from unittest import mock

import bare
import timm
import torch
from load import write_images

import lightly_train
from lt_train.sources import ImageSource, Inputs, Stream

IMAGES, PHOTO_SIZE = 500, (500, 375)
WARM_UP = 5
PAIRS_A_ROUND, STEPS_A_ROUND = 8, 12
GPU_BLOCK = 20

Feed = Callable[[ImageSource, Stream, int], Iterator[Inputs]]


class Job(NamedTuple):
    """What is trained.

    Attributes:
        model: Name of timm's.
        batch: Images of a step.
        side: Height and width of an image.
    """

    model: str
    batch: int
    side: int


CPU_JOBS = (Job("resnet18", 8, 128), Job("resnet50", 4, 128), Job("vit_small_patch16_224", 4, 224))
GPU_JOBS = (Job("resnet18", 512, 224), Job("resnet50", 256, 224), Job("vit_small_patch16_224", 256, 224))


class Times(NamedTuple):
    """Seconds of a step, each the mean of a block of steps.

    Attributes:
        steps: All of the step.
        waits: What of it was spent waiting for the loader.
    """

    steps: list[float]
    waits: list[float]


def now() -> float:
    """The time at which the device has done all that it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def block_size() -> int:
    """Steps between two looks at the clock, which is a wait for a GPU."""
    return GPU_BLOCK if torch.cuda.is_available() else 1


def run(data: dict[str, Path], job: Job, steps: int, workers: int, feed: Feed) -> None:
    """A run of ours whose batches come from `feed`."""
    with tempfile.TemporaryDirectory() as out, mock.patch.object(ImageSource, "inputs", feed):
        lightly_train.train_image_classification(
            out=Path(out) / "run",
            data=data,
            model=f"timm/{job.model}-notpretrained",
            steps=steps,
            batch_size=job.batch,
            num_workers=workers,
            devices=1,
            transform_args={"image_size": (job.side, job.side)},
            logger_args={"val_every_num_steps": steps, "log_every_num_steps": 100},  # as in a long run
        )


def in_turn(data: dict[str, Path], job: Job, pairs: int) -> tuple[list[float], list[float]]:
    """Seconds of steps of ours and of the bare loop, in pairs, with a batch that lies on the device."""
    device, block = bare.best_device(), block_size()
    images, labels = bare.synthetic(job.batch, job.side, device)
    steps = WARM_UP + pairs * block + 1
    reference = bare.train(bare.build(job.model, device), images, labels, steps)
    ours: list[float] = []
    theirs: list[float] = []

    def feed(source: ImageSource, stream: Stream, first_step: int) -> Iterator[Inputs]:
        for _ in range(WARM_UP):
            yield Inputs(images, labels, labels)
            next(reference)
        for _ in range(pairs):
            began = now()
            for _ in range(block):
                yield Inputs(images, labels, labels)
            ended = now()
            for _ in range(block):
                next(reference)
            ours.append((ended - began) / block)
            theirs.append((now() - ended) / block)
        yield Inputs(images, labels, labels)

    run(data, job, steps, workers=0, feed=feed)
    return ours, theirs


def from_files(data: dict[str, Path], job: Job, workers: int, steps: int) -> Times:
    """Steps of a run of ours from JPEG files, once the loader is warm."""
    original, times = ImageSource.inputs, Times([], [])
    block = block_size()

    def feed(source: ImageSource, stream: Stream, first_step: int) -> Iterator[Inputs]:
        batches = original(source, stream, first_step)
        waited, began = 0.0, now()
        for number in range(WARM_UP + steps * block + 1):
            if number >= WARM_UP and (number - WARM_UP) % block == 0:
                ended = now()
                if number > WARM_UP:
                    times.steps.append((ended - began) / block)
                    times.waits.append(waited / block)
                waited, began = 0.0, ended
            asked = time.perf_counter()
            batch = next(batches)
            waited += time.perf_counter() - asked
            yield batch

    run(data, job, WARM_UP + steps * block + 1, workers, feed)
    return times


def seconds_of_bare(loop: Iterator[None], steps: int) -> list[float]:
    """Steps of the bare loop by itself, in blocks."""
    block, found = block_size(), []
    for _ in range(WARM_UP):
        next(loop)
    for _ in range(steps):
        began = now()
        for _ in range(block):
            next(loop)
        found.append((now() - began) / block)
    return found


def spread(values: list[float]) -> str:
    """The median of some ratios, the least and the greatest."""
    return f"{median(values):.3f} ({min(values):.3f} to {max(values):.3f})"


def report(data: dict[str, Path], job: Job, rounds: int, workers: int) -> None:
    """Print the rate of a model, both ways, as a share of the bare loop's."""
    ours, theirs = in_turn(data, job, rounds * PAIRS_A_ROUND)
    ratios = [b / a for a, b in zip(ours, theirs, strict=True)]
    shares = [median(ratios[i::rounds]) for i in range(rounds)]
    print(f"{job.model}, {job.batch} images of {job.side} pixels, a step of the bare loop {median(theirs):.3f} s:")
    print(f"  batch in memory: {spread(shares)} x the bare loop's steps a second")
    device, shares, waits = bare.best_device(), [], []
    loop = bare.train(bare.build(job.model, device), *bare.synthetic(job.batch, job.side, device), 10**6)
    before = seconds_of_bare(loop, STEPS_A_ROUND)
    for _ in range(rounds):
        times, after = from_files(data, job, workers, STEPS_A_ROUND), seconds_of_bare(loop, STEPS_A_ROUND)
        shares.append(median(before + after) / median(times.steps))
        waits.append(sum(times.waits) / sum(times.steps))
        before = after
    print(
        f"  from JPEG files, {workers} workers: {spread(shares)} x the same; waiting for them {median(waits):.1%}",
        flush=True,
    )


def photographs(root: Path) -> dict[str, Path]:
    """JPEG files in class folders, and one of each class to validate."""
    for split, count in (("train", IMAGES // bare.CLASSES), ("val", 1)):
        (root / split).mkdir()
        for number in range(bare.CLASSES):
            write_images(root / split / str(number), PHOTO_SIZE, count)
    return {"train": root / "train", "val": root / "val"}


def be_quiet() -> None:
    """Keep the runs' own lines and warnings off the screen."""
    logging.getLogger().addHandler(logging.NullHandler())
    warnings.simplefilter("ignore")


def versions() -> str:
    """Device and versions, in one line."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads"
    return f"{device}, torch {torch.__version__}, timm {timm.__version__}"


def main() -> None:
    """Print the figures."""
    jobs = GPU_JOBS if torch.cuda.is_available() else CPU_JOBS
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", choices=[job.model for job in jobs])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    asked = parser.parse_args()
    print(versions(), flush=True)
    be_quiet()
    with tempfile.TemporaryDirectory() as folder:
        data = photographs(Path(folder))
        for job in jobs:
            if asked.only in (None, job.model):
                report(data, job, asked.rounds, asked.workers)


if __name__ == "__main__":
    main()
