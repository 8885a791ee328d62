"""Images a second on a GPU in bfloat16, from JPEG files and with a batch in memory; says so where there is no GPU.

    python tools/bench/gpu.py [--batch 256] [--workers N] [--rounds 5]

Needs scikit-learn. Prints a table: the bare loop of `bare.py`, a run of ours with the same batch in memory, a run of
ours from JPEG files of 500 x 375 pixels, and the share of a step for which the host waits for the loader. The host runs
ahead of the GPU, so that a wait need not hold up the GPU: what it is held up by is the difference of the two rates.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path
from statistics import median

import torch
from steps import PAIRS_A_ROUND, STEPS_A_ROUND, Job, be_quiet, from_files, in_turn, photographs, versions

MODELS = ("resnet50", "vit_small_patch16_224", "vit_base_patch16_224")
SIDE = 224


def row(data: dict[str, Path], job: Job, rounds: int, workers: int) -> str:
    """Figures of one model, as a row of the table."""
    ours, theirs = in_turn(data, job, rounds * PAIRS_A_ROUND)
    times = from_files(data, job, workers, rounds * STEPS_A_ROUND)
    synthetic, bare, files = (job.batch / median(seconds) for seconds in (ours, theirs, times.steps))
    waits = sum(times.waits) / sum(times.steps)
    shares = f"{synthetic / bare:>6.3f} {files / synthetic:>6.3f} {waits:>6.1%}"
    return f"{job.model:22} {bare:>8.0f} {synthetic:>8.0f} {files:>8.0f} {shares}"


def main() -> None:
    """Print the table."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    parser = argparse.ArgumentParser()
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--workers", type=int, default=usable)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    if not torch.cuda.is_available():
        print("gpu.py: PyTorch sees no GPU here; nothing was measured")
        return
    be_quiet()
    print(f"{versions()}; batches of {asked.batch}, {SIDE} pixels, bfloat16, {asked.workers} workers; images a second")
    print(f"{'':22} {'bare':>8} {'ours':>8} {'JPEG':>8} {'o/b':>6} {'J/o':>6} {'waits':>6}")
    with tempfile.TemporaryDirectory() as folder:
        data = photographs(Path(folder))
        for model in MODELS:
            print(row(data, Job(model, asked.batch, SIDE), asked.rounds, asked.workers), flush=True)


if __name__ == "__main__":
    main()
