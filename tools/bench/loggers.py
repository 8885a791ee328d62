"""Whether a tracking server that cannot be reached slows a run: steps a second, with and without.

Equal runs one after the other differ by a tenth and more where others share the machine. So a run without the server
and one with it go side by side, each with its threads on a processor of its own, and change places from pair to pair.
Two runs without it, as a control, say what the figures are worth.
"""

from __future__ import annotations

import os
import socket
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from lt_data import Classes, Preprocessing, SampleIndex, TaskSpec, TransformConfig

PAIRS, STEPS, WARM_UP, BATCH, IMAGES = 9, 1500, 20, 16, 64


def samples(root: Path) -> SampleIndex:
    """Small images of noise in two classes."""
    rng, labels = np.random.default_rng(0), np.arange(IMAGES, dtype=np.int32) % 2
    for i in range(IMAGES):
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(root / f"{i}.png")
    return SampleIndex.from_paths(root, [f"{i}.png" for i in range(IMAGES)], labels, num_classes=2)


def steps_a_second(uri: str, root: Path) -> float:
    """Of a run, by the times in the TensorBoard file.

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
    fit(
        out=RunFolder(root / "out"),
        classifier=build_classifier(
            ClassifierSpec(model="timm/test_resnet-notpretrained", num_classes=2, image_size=(32, 32))
        ),
        task=TaskSpec(task="multiclass", classes=Classes((0, 1), ("a", "b")), preprocessing=spec),
        data=TrainData(train=index, val=index, augmentation=Augmentation.from_config(TransformConfig(), spec)),
        config=TrainConfig(steps=STEPS, batch_size=BATCH, num_workers=0, accelerator="cpu", logger_args=logging),
    )
    events = EventAccumulator(str(root / "out"), size_guidance={"scalars": 0}).Reload()
    times = [one.wall_time for one in events.Scalars("train_loss")][WARM_UP:]
    return float((len(times) - 1) / (times[-1] - times[0]))


def start(uri: str, folder: str, processor: int) -> subprocess.Popen[str]:
    """A run in a process of its own, which prints its steps a second last."""
    command = [sys.executable, "-W", "ignore", __file__, folder, uri, str(processor)]
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=one_thread)


def pair(uri: str, processors: tuple[int, int]) -> tuple[float, float]:
    """Steps a second without MLflow on the first processor, and with it, at the same time, on the second."""
    with tempfile.TemporaryDirectory() as without, tempfile.TemporaryDirectory() as with_it:
        runs = start("", without, processors[0]), start(uri, with_it, processors[1])
        printed = [run.communicate()[0] for run in runs]
        if any(run.returncode for run in runs):
            raise SystemExit("a run has failed")
        first, second = (float(text.split()[-1]) for text in printed)
        return first, second


@contextmanager
def silent_server() -> Iterator[str]:
    """A port that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def main() -> None:
    """Print the median ratios, with the smallest and the largest, of the control, a refused and a silent server."""
    first, second = sorted(os.sched_getaffinity(0))[:2]
    with silent_server() as silent:
        for name, uri in (("no server", ""), ("nothing listens", "http://127.0.0.1:9"), ("never answers", silent)):
            pairs = [pair(uri, (second, first) if i % 2 else (first, second)) for i in range(PAIRS)]
            without, with_it = (statistics.median(half) for half in zip(*pairs, strict=True))
            ratios = sorted(b / a for a, b in pairs)
            print(
                f"{name}: {without:.1f} and {with_it:.1f} steps a second, median ratio {statistics.median(ratios):.3f} "
                f"({ratios[0]:.3f} to {ratios[-1]:.3f})",
                flush=True,
            )


if __name__ == "__main__":
    if len(sys.argv) == 4:
        os.sched_setaffinity(0, {int(sys.argv[3])})
        print(steps_a_second(sys.argv[2], Path(sys.argv[1])))
    else:
        main()
