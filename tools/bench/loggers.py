"""Whether a tracking server that cannot be reached slows a run: steps a second and processor time, with and without."""

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

import numpy as np
from PIL import Image

from lt_data import Classes, Preprocessing, SampleIndex, TaskSpec, TransformConfig

PAIRS, STEPS, WARM_UP, BATCH, IMAGES = 3, 600, 20, 16, 64


def samples(root: Path) -> SampleIndex:
    """Small images of noise in two classes."""
    rng, labels = np.random.default_rng(0), np.arange(IMAGES, dtype=np.int32) % 2
    for i in range(IMAGES):
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(root / f"{i}.png")
    return SampleIndex.from_paths(root, [f"{i}.png" for i in range(IMAGES)], labels, num_classes=2)


def run(uri: str, root: Path) -> tuple[float, float]:
    """Steps a second, by the times in the TensorBoard file, and processor seconds of a run; `uri` may be empty."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    import lt_train.loggers.mlflow  # noqa: F401  # imported by both, so that importing does not count
    from lt_data.torch import Augmentation
    from lt_models import ClassifierSpec, build_classifier
    from lt_train import LoggerArgs, MLflowArgs, RunFolder, TrainConfig, TrainData, fit

    spec, index = Preprocessing(image_size=(32, 32)), samples(root)
    mlflow = MLflowArgs(tracking_uri=uri) if uri else None
    logging = LoggerArgs(log_every_num_steps=1, val_every_num_steps=STEPS, mlflow=mlflow)
    began = time.process_time()
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
    return (len(times) - 1) / (times[-1] - times[0]), used


def in_a_process_of_its_own(uri: str) -> list[float]:
    """What a run leaves behind, such as a thread that waits for the server, must not meet the next one."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", __file__, folder, uri], capture_output=True, text=True, check=True
        )
        return [float(figure) for figure in done.stdout.split()[-2:]]


@contextmanager
def silent_server() -> Iterator[str]:
    """A port that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def main() -> None:
    """Print the medians and the median ratio of a refused and of a silent server."""
    with silent_server() as silent:
        for name, uri in (("nothing listens", "http://127.0.0.1:9"), ("listens, never answers", silent)):
            pairs = [(in_a_process_of_its_own(""), in_a_process_of_its_own(uri)) for _ in range(PAIRS)]
            for i, what in enumerate(("steps a second", "processor seconds")):
                without, with_it = (
                    statistics.median(figures[i] for figures in half) for half in zip(*pairs, strict=True)
                )
                ratio = statistics.median(b[i] / a[i] for a, b in pairs)
                print(f"{name}: {what} {without:.2f} without MLflow, {with_it:.2f} with it; median ratio {ratio:.3f}")


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(*run(sys.argv[2], Path(sys.argv[1])))
    else:
        main()
