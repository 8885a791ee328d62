"""Damaged images, DICOM files and tables, read in processes that are watched.

    python tools/fuzz/fuzz.py [--cases N] [--seed S]      N cases of each kind
    python tools/fuzz/fuzz.py --kind dicom --only 1234    one case again; its file stays

A read may succeed or raise an error of lt-data's family. Anything else fails: another exception, a crash, more than
5 seconds, more memory than MAX_BYTES. Each case is a function of seed, kind and number.
"""

from __future__ import annotations

import argparse
import faulthandler
import logging
import resource
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import corpus
import mutation
import numpy as np
from PIL import Image

from lt_data import DataConfig, Decoding, LtDataError, build_index, check, load_image
from lt_data.preprocessing import Box
from lt_data.torch.reading import open_image

CASES = {"images": 12_000, "dicoms": 5_000, "tables": 5_000}
MAX_SECONDS = 5
MAX_BYTES = 3_500_000_000
"""What reading one file may take: 19 bytes a pixel of the largest image that is not refused from its header."""

CURRENT = "current"
"""File with the number of the case that is being read, for when the process dies of it."""
ERRORS = "errors"
SHOWN_CHARACTERS = 5000

DECODINGS = (Decoding(), Decoding(dicom_window="off", value_range=(0.0, 1000.0)), Decoding(dicom_window=(40.0, 400.0)))


def read_image(file: Path, rng: np.random.Generator) -> str:
    """As evaluation and as training read it; both must come to the same verdict."""
    channels, decoding = int(rng.choice([1, 3, 4, 5])), DECODINGS[int(rng.integers(len(DECODINGS)))]
    verdicts = []
    for read in (lambda: load_image(file, channels, decoding), lambda: train_read(file, channels, decoding)):
        try:
            read()
            verdicts.append("read")
        except LtDataError:
            verdicts.append("refused")
    return verdicts[0] if verdicts[0] == verdicts[1] else f"{verdicts[0]}, by training {verdicts[1]}"


def train_read(file: Path, channels: int, decoding: Decoding) -> None:
    """The whole image, decoded for a small crop."""
    source = open_image(file, channels, decoding)
    source.read(Box(0, 0, *source.size), (8, 8))


def read_table(file: Path, rng: np.random.Generator) -> str:
    """Build an index, and check the data; the images beside it are good."""
    for name in ("a.png", "b.png", "sub/c.png"):
        target = file.parent / name
        if not target.exists():
            target.parent.mkdir(exist_ok=True)
            Image.new("RGB", (8, 8)).save(target)
    one_hot = ("cat", "dog") if rng.random() < 0.3 else None
    config = DataConfig(train_csv=file, val_csv=file, csv_label_columns=one_hot)
    if rng.random() < 0.1:
        check(config, num_workers=1)
    try:
        build_index(config, "multilabel" if rng.random() < 0.5 else "multiclass")
    except LtDataError:
        return "refused"
    return "read"


READERS: Mapping[str, Callable[[Path, np.random.Generator], str]] = {
    "images": read_image,
    "dicoms": read_image,
    "tables": read_table,
}
KINDS = {"images": corpus.images, "dicoms": corpus.dicoms, "tables": corpus.tables}


def run_case(kind: str, seeds: list[tuple[str, bytes]], seed: int, number: int, folder: Path) -> str:
    """Write one damaged file and read it."""
    rng = np.random.default_rng((seed, list(KINDS).index(kind), number))
    (suffix, content), (_, other) = (seeds[int(i)] for i in rng.integers(len(seeds), size=2))
    if rng.random() < 0.05:
        suffix = seeds[int(rng.integers(len(seeds)))][0]
    file = folder / f"case-{number}{suffix}"
    file.write_bytes(mutation.mutate(content, other, rng))
    faulthandler.dump_traceback_later(MAX_SECONDS, exit=True)
    verdict = READERS[kind](file, rng)
    faulthandler.cancel_dump_traceback_later()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if peak > MAX_BYTES:
        raise MemoryError(f"{peak / 1e9:.2f} GB, above {MAX_BYTES / 1e9:.2f} GB")
    file.unlink()
    return verdict


def run_cases(kind: str, seed: int, start: int, stop: int, folder: Path) -> int:
    """Cases in this process."""
    logging.disable(logging.CRITICAL)
    seeds = list(KINDS[kind]())
    verdicts: Counter[str] = Counter()
    for number in range(start, stop):
        (folder / CURRENT).write_text(str(number))
        verdicts[run_case(kind, seeds, seed, number, folder)] += 1
    shown = ", ".join(f"{count} {verdict}" for verdict, count in sorted(verdicts.items()))
    print(f"{kind}: {stop - start} cases from {len(seeds)} files: {shown}")
    return 0


def main() -> int:
    """Run each kind in a process of its own, so that a crash is seen and named."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kind", choices=list(KINDS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cases", type=int, help="of each kind")
    parser.add_argument("--only", type=int)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    if options.only is not None:
        folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
        print(f"in {folder}")
        return run_cases(options.kind, options.seed, options.only, options.only + 1, folder)
    if options.folder is not None:
        return run_cases(options.kind, options.seed, 0, options.cases, options.folder)
    failed = []
    for kind in [options.kind] if options.kind else list(KINDS):
        with tempfile.TemporaryDirectory() as folder_name:
            arguments = ["--kind", kind, "--seed", str(options.seed), "--folder", folder_name]
            cases = ["--cases", str(options.cases or CASES[kind])]
            command = [sys.executable, "-W", "ignore", __file__, *arguments, *cases]
            # libtiff tells the terminal about every damaged file.
            with open(Path(folder_name) / ERRORS, "wb") as errors:
                status = subprocess.run(command, check=False, stderr=errors).returncode
            if status:
                print((Path(folder_name) / ERRORS).read_text(errors="replace")[-SHOWN_CHARACTERS:])
                last = (Path(folder_name) / CURRENT).read_text()
                failed.append(f"status {status}, again with --kind {kind} --seed {options.seed} --only {last}")
    print("\n".join(["failed:", *failed]) if failed else "nothing failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
