"""How long training stands still for a checkpoint of ViT-B with AdamW's moments, in the background and not."""

from __future__ import annotations

import tempfile
import threading
import time
from pathlib import Path

import torch

from lt_data import Classes, Preprocessing, TaskSpec
from lt_models import ClassifierSpec, build_classifier
from lt_train import RunFolder
from lt_train.learner import Snapshot
from lt_train.saving import Saver
from lt_train.state import TrainState

MODEL, CLASSES, SAVES, BATCH_SIZE = "timm/vit_base_patch16_224-notpretrained", 1000, 4, 16


def make_saver(folder: Path, device: torch.device) -> tuple[Saver, Snapshot]:
    """A saver, and a model whose optimiser has taken a step."""
    names = tuple(f"class {i}" for i in range(CLASSES))
    task = TaskSpec(
        task="multiclass",
        classes=Classes(tuple(range(CLASSES)), names),
        preprocessing=Preprocessing(image_size=(224, 224)),
    )
    classifier = build_classifier(ClassifierSpec(model=MODEL, num_classes=CLASSES)).to(device)
    optimizer = torch.optim.AdamW(classifier.parameters())
    for parameter in classifier.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    optimizer.zero_grad()
    snapshot = Snapshot(classifier.state_dict(), None, optimizer.state_dict(), {})
    return Saver(RunFolder(folder), task, classifier.spec, {}, export_last=True), snapshot


def main() -> None:
    """Print the stall of each save, and what the same save takes when it is waited for."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with tempfile.TemporaryDirectory() as folder:
        (saver, snapshot), state = make_saver(Path(folder), device), TrainState.fresh(device, None)
        stalls, waits, hiccups = [], [], []
        # As a run does after its first step.
        saver.reserve(lambda: snapshot)
        saver.wait()
        for _ in range(SAVES):
            begin = time.perf_counter()
            saver.save(state, snapshot, state.loss_sum.reshape(1), BATCH_SIZE, best=False)
            stalls.append(time.perf_counter() - begin)
            hiccups.append(longest_pause(saver))
            waits.append(time.perf_counter() - begin)
        size = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file()) / 1e6
    print(f"{MODEL} on {device.type}: checkpoint and exported_last.pt, {size:.0f} MB")
    stalled = ", ".join(f"{stall:.2f} s of {wait:.2f} s" for stall, wait in zip(stalls, waits, strict=True))
    print(f"training stalls {stalled} that the same save takes when it is waited for")
    print(f"longest pause of the main thread while the background writes: {max(hiccups):.3f} s")


def longest_pause(saver: Saver) -> float:
    """Turn until all is written; returns the longest time that a turn took beyond its millisecond."""
    longest, waiting = 0.0, threading.Thread(target=saver.wait)
    waiting.start()
    while waiting.is_alive():
        begin = time.perf_counter()
        time.sleep(0.001)
        longest = max(longest, time.perf_counter() - begin - 0.001)
    return longest


if __name__ == "__main__":
    main()
