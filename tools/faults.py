"""Kill small runs at random moments, a third of them inside a save, and see that nothing is lost.

After every kill each file that is there must load, and the run goes on from it. At the end weights and `metrics.jsonl`
must equal those of a run that nobody disturbed, to the bit. PyTorch is imported once: runs are forks of this process.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from lt_data import Classes, Preprocessing, SampleIndex, TaskSpec, TransformConfig
from lt_data.torch import Augmentation
from lt_models import ClassifierSpec, build_classifier
from lt_train import (
    LoggerArgs,
    MetricArgs,
    ModelFileError,
    RunFolder,
    SaveCheckpointArgs,
    TrainConfig,
    TrainData,
    fit,
    load_exported,
)

SPEC = Preprocessing(image_size=(32, 32), resize_scale=1.0)
CONFIG: dict[str, Any] = {
    "batch_size": 8,
    "accelerator": "cpu",
    "logger_args": LoggerArgs(log_every_num_steps=1, val_every_num_steps=3, tensorboard=None),
    "metric_args": MetricArgs(train=True),
    "save_checkpoint_args": SaveCheckpointArgs(save_every_num_steps=2),
}
LONGEST_S = 120.0


def write_images(folder: Path, count: int) -> SampleIndex:
    """Noise whose brightest channel tells its class."""
    rng = np.random.default_rng(count)
    folder.mkdir()
    for i in range(count):
        pixels = rng.integers(0, 128, (32, 32, 3), dtype=np.uint8)
        pixels[:, :, i % 3] += 100
        Image.fromarray(pixels).save(folder / f"{i}.png")
    labels = np.arange(count, dtype=np.int32) % 3
    return SampleIndex.from_paths(folder, [f"{i}.png" for i in range(count)], labels, num_classes=3)


def train(out: RunFolder, data: TrainData, steps: int, num_workers: int, *, resume: bool) -> None:
    """One run, to its end if nobody kills it."""
    torch.manual_seed(0)
    spec = ClassifierSpec(model="timm/test_resnet-notpretrained", num_classes=3, head_dropout=0.2)
    fit(
        out=out,
        classifier=build_classifier(spec),
        task=TaskSpec(task="multiclass", classes=Classes((0, 1, 2), ("red", "green", "blue")), preprocessing=SPEC),
        data=data,
        config=TrainConfig(steps=steps, num_workers=num_workers, **CONFIG),
        arguments={"steps": steps},
        resume=resume,
    )


def fork(out: RunFolder, *arguments: Any, resume: bool) -> int:
    """Start a run in a fork of this process; returns its process ID."""
    process = os.fork()
    if process == 0:
        status = 1
        try:
            os.setsid()
            os.dup2(os.open(out.root.parent / "printed.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
            train(out, *arguments, resume=resume)
            status = 0
        except BaseException:
            logging.getLogger("faults").exception("the run failed")
        finally:
            os._exit(status)
    return process


def in_save(out: RunFolder, since: int) -> bool:
    """Whether a file is half written, by a run that was started at `since` (ns); an older one is of a run before."""
    for file in (out.checkpoint, out.exported_best, out.exported_last):
        try:
            if file.with_name(f".{file.name}.tmp").stat().st_mtime_ns > since:
                return True
        except FileNotFoundError:
            continue
    return False


def kill(process: int, out: RunFolder, delay: float, *, inside_save: bool) -> str:
    """Kill a run some seconds from now, or in the first save from then on; returns how it went."""
    begin, since = time.monotonic(), time.time_ns()
    while True:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            return "ended" if status == 0 else "failed"
        passed = time.monotonic() - begin
        if passed >= min(delay, LONGEST_S) and (in_save(out, since) or not inside_save or passed > LONGEST_S):
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
            if passed > LONGEST_S:
                return "failed"
            return "inside a save" if in_save(out, since) else "elsewhere"
        time.sleep(0.0 if inside_save else 0.002)


def problems(out: RunFolder) -> list[str]:
    """What is wrong with the files of a run that was killed."""
    found = []
    for file in (out.checkpoint, out.exported_best, out.exported_last):
        try:
            if file.exists():
                state = load_exported(file).state
                found += [f"{file.name}: {name}" for name, tensor in state.items() if not tensor.isfinite().all()]
        except ModelFileError as error:
            found.append(str(error))
    if out.metrics.exists():
        # The last line of a process that was killed while it wrote may lack its end; all before it may not.
        for line in out.metrics.read_text().split("\n")[:-1]:
            try:
                json.loads(line)
            except ValueError:
                found.append(f"{out.metrics.name}: {line!r}")
    return found


def differences(whole: RunFolder, killed: RunFolder) -> list[str]:
    """In what two finished runs differ."""
    found = []
    for name in ("exported_last", "exported_best", "checkpoint"):
        one, other = load_exported(getattr(whole, name)), load_exported(getattr(killed, name))
        if one.step != other.step or one.metrics != other.metrics:
            found.append(f"{name}: step or metrics")
        found += [f"{name}: {key}" for key in one.state if not torch.equal(one.state[key], other.state[key])]
    found += [f"{file} was left behind" for file in killed.root.rglob(".*")]
    return found + [
        f"{getattr(whole, name).name} differs"
        for name in ("metrics", "report", "per_class")
        if getattr(whole, name).read_bytes() != getattr(killed, name).read_bytes()
    ]


def campaign(root: Path, kills: int, steps: int, draw: random.Random) -> tuple[Counter[str], list[str]]:
    """One run, killed at most `kills` times and resumed each time; returns how kills went, and what was wrong."""
    augmentation = Augmentation.from_config(TransformConfig(color_jitter=None), SPEC)
    data = TrainData(
        train=write_images(root / "train", 40), val=write_images(root / "val", 20), augmentation=augmentation
    )
    whole, killed = RunFolder(root / "whole"), RunFolder(root / "killed")
    counts: Counter[str] = Counter()
    if kill(fork(whole, data, steps, 0, resume=False), whole, LONGEST_S, inside_save=False) != "ended":
        return counts, ["the undisturbed run failed", (root / "printed.txt").read_text()]
    found: list[str] = []
    while not found:
        resume, more = killed.checkpoint.is_file(), counts.total() < kills
        delay = draw.uniform(0.05, 1.6) if more else LONGEST_S
        arguments = (data, steps, draw.choice((0, 0, 2)))
        how = kill(fork(killed, *arguments, resume=resume), killed, delay, inside_save=draw.random() < 0.4)
        if how == "failed":
            return counts, [f"after {counts.total()} kills", (root / "printed.txt").read_text()]
        if how == "ended":
            return counts, differences(whole, killed)
        counts[how] += 1
        found = problems(killed)
    return counts, found


def main() -> None:
    """Run campaigns until there are enough kills, and print the counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=45)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    draw, total, begin, runs = random.Random(arguments.seed), Counter[str](), time.monotonic(), 0
    found: list[str] = []
    while total.total() < arguments.kills and not found:
        runs += 1
        with tempfile.TemporaryDirectory() as folder:
            counts, found = campaign(Path(folder), arguments.kills - total.total(), arguments.steps, draw)
        total += counts
    print(
        f"{runs} runs of {arguments.steps} steps, {total.total()} kills in {time.monotonic() - begin:.0f} s:", end=" "
    )
    print(", ".join(f"{count} {how}" for how, count in sorted(total.items())))
    if found:
        print("\n".join(found[:50]))
        sys.exit(1)
    print("every file loaded after every kill; weights, metrics and reports at the end are the same to the bit")


if __name__ == "__main__":
    main()
