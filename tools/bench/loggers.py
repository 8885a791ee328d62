"""Whether a tracking server that cannot be reached slows a run: steps a second and processor time, with and without.

On a machine that others share two equal runs differ by more than the logger could cost. So its own processor time is
counted too: that of its thread, and that of the calls by which a run hands it values, as a share of the run's.
"""

from __future__ import annotations

import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from PIL import Image

from lt_data import Classes, Preprocessing, SampleIndex, TaskSpec, TransformConfig

PAIRS, STEPS, WARM_UP, BATCH, IMAGES = 7, 600, 20, 16, 64


def samples(root: Path) -> SampleIndex:
    """Small images of noise in two classes."""
    rng, labels = np.random.default_rng(0), np.arange(IMAGES, dtype=np.int32) % 2
    for i in range(IMAGES):
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(root / f"{i}.png")
    return SampleIndex.from_paths(root, [f"{i}.png" for i in range(IMAGES)], labels, num_classes=2)


def run(uri: str, root: Path) -> tuple[float, float, float]:
    """Steps a second, by the times in the TensorBoard file, and processor seconds of a run and of its logger.

    Args:
        uri: Of the server; empty for a run without one.
        root: An empty folder.
    """
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    import lt_train.loggers.mlflow  # noqa: F401  # imported by both, so that importing does not count
    from lt_data.torch import Augmentation
    from lt_models import ClassifierSpec, build_classifier
    from lt_train import LoggerArgs, MLflowArgs, RunFolder, TrainConfig, TrainData, fit

    spec, index = Preprocessing(image_size=(32, 32)), samples(root)
    mlflow = MLflowArgs(tracking_uri=uri) if uri else None
    logging = LoggerArgs(log_every_num_steps=1, val_every_num_steps=STEPS, mlflow=mlflow)
    began = time.process_time()
    with logger_seconds() as of_logger:
        fit(
            out=RunFolder(root / "out"),
            classifier=build_classifier(
                ClassifierSpec(model="timm/test_resnet-notpretrained", num_classes=2, image_size=(32, 32))
            ),
            task=TaskSpec(task="multiclass", classes=Classes((0, 1), ("a", "b")), preprocessing=spec),
            data=TrainData(train=index, val=index, augmentation=Augmentation.from_config(TransformConfig(), spec)),
            config=TrainConfig(steps=STEPS, batch_size=BATCH, num_workers=0, accelerator="cpu", logger_args=logging),
        )
    used = time.process_time() - began
    events = EventAccumulator(str(root / "out"), size_guidance={"scalars": 0}).Reload()
    times = [one.wall_time for one in events.Scalars("train_loss")][WARM_UP:]
    return (len(times) - 1) / (times[-1] - times[0]), used, sum(of_logger)


@contextmanager
def logger_seconds() -> Iterator[list[float]]:
    """Processor seconds of the logger's thread until it is closed, and of each call that hands it values."""
    from lt_train.loggers.remote import RemoteLogger

    seconds: list[float] = []
    log, close = RemoteLogger.log, RemoteLogger.close

    def timed_log(self: RemoteLogger, *args: Any) -> None:
        began = time.thread_time()
        log(self, *args)
        seconds.append(time.thread_time() - began)

    def timed_close(self: RemoteLogger, *args: Any) -> None:
        clock = time.pthread_getcpuclockid(self._thread.ident or 0)
        seconds.append(time.clock_gettime(clock))
        close(self, *args)

    with mock.patch.multiple(RemoteLogger, log=timed_log, close=timed_close):
        yield seconds


def in_a_process_of_its_own(uri: str) -> list[float]:
    """What a run leaves behind, such as a thread that waits for the server, must not meet the next one."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", __file__, folder, uri], capture_output=True, text=True, check=True
        )
        return [float(figure) for figure in done.stdout.split()[-3:]]


def pair(uri: str, *, with_it_first: bool) -> tuple[list[float], list[float]]:
    """A run without MLflow and one with it; they take turns at being first, as a machine changes its speed."""
    if with_it_first:
        with_it = in_a_process_of_its_own(uri)
        return in_a_process_of_its_own(""), with_it
    return in_a_process_of_its_own(""), in_a_process_of_its_own(uri)


@contextmanager
def silent_server() -> Iterator[str]:
    """A port that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def main() -> None:
    """Print the medians and the median ratio of a refused and of a silent server."""
    with silent_server() as silent:
        for name, uri in (("nothing listens", "http://127.0.0.1:9"), ("listens, never answers", silent)):
            pairs = [pair(uri, with_it_first=bool(i % 2)) for i in range(PAIRS)]
            for i, what in enumerate(("steps a second", "processor seconds")):
                without, with_it = (
                    statistics.median(figures[i] for figures in half) for half in zip(*pairs, strict=True)
                )
                ratio = statistics.median(b[i] / a[i] for a, b in pairs)
                print(f"{name}: {what} {without:.2f} without MLflow, {with_it:.2f} with it; median ratio {ratio:.3f}")
            share = statistics.median(of_logger / used for _, (_, used, of_logger) in pairs)
            print(f"{name}: the logger's own part of the processor seconds {share:.2%}")


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(*run(sys.argv[2], Path(sys.argv[1])))
    else:
        main()
