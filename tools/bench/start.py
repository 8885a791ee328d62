"""From the start of a process to the first optimiser step on 10,000 files, against importing what it needs.

    python tools/bench/start.py [--rounds 5]

Three programs take turns, each in a process of its own: the command `lightly-train train` until the values of its first
step are in `metrics.jsonl`; `import torch, torchvision, timm` and building the model; and the same with the first step
of `bare.py` behind it, which shows what of a start is computing. Files and byte code are in the page cache.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

MODEL, BATCH, SIDE, WORKERS = "resnet18", 16, 64, 2
CLASSES, TRAIN, VAL = 10, 10_000, 1000
PATIENCE_SECONDS = 300.0

IMPORT = f'import torch, torchvision, timm; timm.create_model("{MODEL}")'
STEP = f"""
import sys, torch, torchvision
sys.path.insert(0, {str(Path(__file__).parent)!r})
import bare
device = bare.best_device()
images, labels = bare.synthetic({BATCH}, {SIDE}, device)
loop = bare.train(bare.build("{MODEL}", device), images, labels, 1000)
next(loop)
if torch.cuda.is_available():
    torch.cuda.synchronize()
"""


def make_files(root: Path) -> Path:
    """Write small JPEG files in class folders, and the YAML file that names them; returns the latter."""
    rng = np.random.default_rng(0)
    for split, count in (("train", TRAIN), ("val", VAL)):
        for number in range(count):
            folder = root / split / f"class_{number % CLASSES}"
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)).save(folder / f"{number}.jpg")
    path = root / "data.yaml"
    path.write_text(yaml.safe_dump({split: str(root / split) for split in ("train", "val")}))
    return path


def environment(root: Path) -> dict[str, str]:
    """Byte code is kept, as it is where a package is installed, and nowhere but below `root`."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPYCACHEPREFIX": str(root / "byte_code")}


def seconds_of(program: str, root: Path) -> float:
    """A program in a process of its own, from its start until it has done its work; taking it down does not count."""
    told = f"{program}\nprint('done', flush=True)"
    began = time.perf_counter()
    with subprocess.Popen([sys.executable, "-c", told], env=environment(root), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        if process.stdout.readline().strip() != b"done":
            raise SystemExit(f"failed: {program}")
        took = time.perf_counter() - began
        process.kill()
    return took


def seconds_to_first_step(data: Path, root: Path) -> float:
    """The command, until its first step is logged; the run is ended there."""
    with tempfile.TemporaryDirectory(dir=root) as folder, open(Path(folder) / "output", "w+") as output:
        out = Path(folder) / "run"
        asked = {"out": out, "data": data, "model": f"timm/{MODEL}-notpretrained", "num-workers": WORKERS}
        asked |= {"transform-args": f"{{image_size: [{SIDE}, {SIDE}]}}", "logger-args.log-every-num-steps": 1}
        words = [word for name, value in asked.items() for word in (f"--{name}", str(value))]
        command = [sys.executable, "-m", "lightly_train.cli", "train", *words]
        began = time.perf_counter()
        process = subprocess.Popen(command, env=environment(root), stdout=output, stderr=output, start_new_session=True)
        try:
            while not has_a_line(out / "metrics.jsonl"):
                if process.poll() is not None or time.perf_counter() - began > PATIENCE_SECONDS:
                    raise SystemExit(f"no first step:\n{Path(output.name).read_text()}")
                time.sleep(0.002)
            return time.perf_counter() - began
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def has_a_line(path: Path) -> bool:
    """Whether something has been written to a file."""
    try:
        return path.stat().st_size > 0
    except FileNotFoundError:
        return False


def main() -> None:
    """Print medians, and medians of the ratios."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        data = make_files(root)
        arms: tuple[Callable[[], float], ...] = (
            lambda: seconds_to_first_step(data, root),
            lambda: seconds_of(IMPORT, root),
            lambda: seconds_of(STEP, root),
        )
        for arm in arms:
            arm()
        taken = [[arm() for arm in arms] for _ in range(rounds)]
    ours, bare_import, with_step = (statistics.median(column) for column in zip(*taken, strict=True))
    ratios = [row[0] / row[1] for row in taken]
    print(f"{TRAIN} files, {MODEL}, {BATCH} images of {SIDE} pixels, {WORKERS} workers; medians of {rounds}")
    print(f"lightly-train, from the start of the process to the first optimiser step: {ours:.2f} s")
    spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
    print(f"  {statistics.median(ratios):.2f} x ({spread}) {IMPORT}, {bare_import:.2f} s")
    share = statistics.median(row[0] / row[2] for row in taken)
    print(f"  {share:.2f} x the same and the first step of a bare loop, {with_step:.2f} s")
    step = statistics.median(row[2] - row[1] for row in taken)
    less = statistics.median((row[0] - row[2] + row[1]) / row[1] for row in taken)
    print(f"  the first step of a bare loop by itself takes {step:.2f} s; without it the first ratio is {less:.2f}")


if __name__ == "__main__":
    main()
