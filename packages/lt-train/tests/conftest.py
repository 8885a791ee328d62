from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import attrs
import numpy as np
import pytest
import torch
from hypothesis import settings
from PIL import Image

from lt_data import Classes, Preprocessing, SampleIndex, TaskSpec, TransformConfig
from lt_data.torch import Augmentation
from lt_models import Classifier, ClassifierSpec, build_classifier
from lt_train import RunFolder, TrainConfig, TrainData, TrainResult, fit

# Models as small as these gain nothing from threads, which wait for each other where other programs are running.
torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"  # for the processes that tests start

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

MODEL = "timm/test_resnet-notpretrained"
SPEC = Preprocessing(image_size=(32, 32), resize_scale=1.0)


def write_images(root: Path, count: int, *, seed: int) -> SampleIndex:
    """Noise whose brightest channel tells its class."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count, dtype=np.int32) % 3
    root.mkdir()
    for i, label in enumerate(labels):
        pixels = rng.integers(0, 128, (24, 20 + i % 5, 3), dtype=np.uint8)
        pixels[:, :, label] += 100
        Image.fromarray(pixels).save(root / f"{i}.png")
    return SampleIndex.from_paths(root, [f"{i}.png" for i in range(count)], labels, num_classes=3)


def write_multilabel_images(root: Path, count: int, *, seed: int) -> SampleIndex:
    """Noise in which each of three colours is bright or not; the second class is rare, and some images have none."""
    rng = np.random.default_rng(seed)
    present = rng.random((count, 3)) < (0.5, 0.2, 0.5)
    root.mkdir()
    for i, flags in enumerate(present):
        pixels = rng.integers(0, 128, (24, 20 + i % 5, 3), dtype=np.uint8)
        pixels[:, :, flags] += 100
        Image.fromarray(pixels).save(root / f"{i}.png")
    labels = np.nonzero(present)[1].astype(np.int32)
    ends = np.cumsum(present.sum(axis=1))
    return SampleIndex.from_paths(root, [f"{i}.png" for i in range(count)], labels, num_classes=3, label_ends=ends)


@pytest.fixture
def write_samples() -> Callable[..., SampleIndex]:
    return write_images


@attrs.frozen
class Job:
    """A small run that can be started again and again."""

    out: RunFolder
    task: TaskSpec
    data: TrainData

    def run(
        self,
        *,
        resume: bool = False,
        overwrite: bool = True,
        out: RunFolder | None = None,
        model: str = MODEL,
        change: Callable[[Classifier], object] | None = None,
        page: Callable[[TrainResult, torch.device], Path | None] | None = None,
        **settings: object,
    ) -> TrainResult:
        torch.manual_seed(0)
        spec = ClassifierSpec(model=model, num_classes=3, image_size=(32, 32), head_dropout=0.2)
        classifier = build_classifier(spec)
        if change is not None:
            change(classifier)
        defaults = {"steps": 6, "batch_size": 8, "num_workers": 0, "accelerator": "cpu"}
        return fit(
            out=out or self.out,
            classifier=classifier,
            task=self.task,
            data=self.data,
            config=TrainConfig(**{**defaults, **settings}),
            arguments={key: str(value) for key, value in {**defaults, **settings}.items()},
            resume=resume,
            overwrite=overwrite,
            page=page,
        )


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(
        out=RunFolder(tmp_path / "run"),
        task=TaskSpec(task="multiclass", classes=Classes((0, 1, 2), ("red", "green", "blue")), preprocessing=SPEC),
        data=TrainData(
            train=write_images(tmp_path / "train", 20, seed=0),
            val=write_images(tmp_path / "val", 9, seed=1),
            augmentation=Augmentation.from_config(TransformConfig(color_jitter=None), SPEC),
        ),
    )


@pytest.fixture
def multilabel_job(tmp_path: Path) -> Job:
    return Job(
        out=RunFolder(tmp_path / "run"),
        task=TaskSpec(task="multilabel", classes=Classes((4, 7, 9), ("red", "green", "blue")), preprocessing=SPEC),
        data=TrainData(
            train=write_multilabel_images(tmp_path / "train", 40, seed=0),
            val=write_multilabel_images(tmp_path / "val", 24, seed=1),
            augmentation=Augmentation.from_config(TransformConfig(color_jitter=None), SPEC),
        ),
    )


@attrs.frozen
class Program:
    """A process that `Programs` has started.

    Attributes:
        pid: Its number.
        folder: What `forks.py` writes of it.
    """

    pid: int
    folder: Path

    def printed(self) -> str:
        return (self.folder / "printed").read_text()

    def status(self) -> int | None:
        """As `subprocess` has it; None while it runs."""
        path = self.folder / "status"
        return int(path.read_text()) if path.is_file() else None

    def wait(self, seconds: float = 120.0) -> int:
        """The status at its end; one that does not end in time is killed, and fails the test."""
        end = time.monotonic() + seconds
        while (status := self.status()) is None:
            if time.monotonic() > end:
                os.killpg(self.pid, signal.SIGKILL)
                pytest.fail(f"it did not end: {self.printed()}")
            time.sleep(0.01)
        return status

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        """End it and the processes that it has started, if it has not ended by itself."""
        if self.status() is None:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            self.wait()


@attrs.frozen
class Programs:
    """Starts programs, each in a process of its own that need not import PyTorch first.

    Attributes:
        server: Runs `forks.py`.
        folder: Has a folder for each program.
    """

    server: subprocess.Popen[str]
    folder: Path

    def start(self, *command: object, **variables: str) -> Program:
        """Start a program with arguments and with variables in its environment."""
        folder = self.folder / str(len(list(self.folder.iterdir())))
        folder.mkdir()
        asked = {"command": [str(part) for part in command], "variables": variables, "folder": str(folder)}
        assert self.server.stdin is not None
        self.server.stdin.write(json.dumps(asked) + "\n")
        self.server.stdin.flush()
        end = time.monotonic() + 120.0
        while not (folder / "process").is_file():
            assert self.server.poll() is None
            assert time.monotonic() < end
            time.sleep(0.005)
        return Program(int((folder / "process").read_text()), folder)

    def start_ranks(self, *command: object) -> list[Program]:
        """Start a program in two processes that meet, as Fabric itself starts all but the first."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = str(probe.getsockname()[1])
        common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "NODE_RANK": "0", "WORLD_SIZE": "2"}
        return [self.start(*command, **common, LOCAL_RANK=str(rank)) for rank in range(2)]


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Programs]:
    """Starts programs that begin at once, and kills what is left of them at the end."""
    command = [sys.executable, str(Path(__file__).parent / "forks.py")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, text=True, start_new_session=True) as server:
        yield Programs(server, tmp_path_factory.mktemp("programs"))
