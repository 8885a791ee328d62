"""DICOM files: windows, 16-bit values, files of many frames; then CT against MR, on files that come with pydicom.

    python examples/dicom.py [--out out/dicom]

Needs `pip install "lightly-train[dicom]"`; nothing is downloaded. The task is there to show how files are read: the
head of one patient and the abdomen of another, of which the left halves train and the right halves validate. A model of
use needs many patients, and validates on others than it trains on.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
from PIL import Image
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels.processing import apply_modality_lut
from pydicom.uid import ExplicitVRLittleEndian, MultiFrameGrayscaleWordSecondaryCaptureImageStorage, generate_uid
from rich.console import Console
from rich.table import Table

import lightly_train
from lt_data import Decoding, Frame, load_image

WINDOWS: dict[str, Any] = {
    "the file's": "file",
    "soft tissue": (40.0, 400.0),  # centre and width in Hounsfield units
    "bone": (300.0, 1500.0),
    "off": "off",
}
SOURCES = {"CT": "J2K_pixelrep_mismatch.dcm", "MR": "examples_overlay.dcm"}
KEPT = (
    *("Modality", "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated", "BitsStored", "HighBit"),
    *("PixelRepresentation", "RescaleSlope", "RescaleIntercept", "WindowCenter", "WindowWidth"),
)
SIDE = 64
GOAL = 0.85

console = Console(soft_wrap=True)


def file_of(name: str) -> Path:
    """A file that is in pydicom's package."""
    path = get_testdata_file(name, download=False)
    if path is None:
        raise SystemExit(f"{name} is not in this version of pydicom")
    return Path(str(path))


def show_windows(file: Path, picture: Path) -> None:
    """Print and draw what a window makes of the thousands of values of a CT image."""
    table = Table("window", "least", "greatest", "different greys", title=f"{file.name} as 8 bits")
    pictures = []
    for name, window in WINDOWS.items():
        pixels = load_image(file, num_channels=1, decoding=Decoding(dicom_window=window))[:, :, 0]
        table.add_row(name, str(pixels.min()), str(pixels.max()), str(len(np.unique(pixels))))
        pictures.append(pixels)
    console.print(table)
    picture.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.hstack(pictures)).save(picture)
    console.print(f"side by side: {picture}\n")


def differs_from_pydicom(file: Path, center: float, width: float) -> int:
    """Largest difference, in 8 bits, from the window applied by hand to the values that pydicom reads."""
    dataset = pydicom.dcmread(file)
    values = apply_modality_lut(dataset.pixel_array, dataset)  # of CT: Hounsfield units
    expected = np.rint(np.clip((values - (center - width / 2)) / width, 0.0, 1.0) * 255)
    pixels = load_image(file, num_channels=1, decoding=Decoding(dicom_window=(center, width)))
    return int(np.abs(expected - pixels[:, :, 0]).max())


def write_halves(root: Path) -> None:
    """Write `root/{train,val}/{CT,MR}/tiles.dcm`: squares of an image's left or right half, each a frame of 16 bits."""
    for modality, name in SOURCES.items():
        source = pydicom.dcmread(file_of(name))
        stored = source.pixel_array
        middle = stored.shape[1] // 2
        for split, half in (("train", stored[:, :middle]), ("val", stored[:, middle:])):
            frames = np.stack([tile for tile in tiles(half) if tile.std() > 0.05 * stored.std()])
            save_frames(frames, source, root / split / modality / "tiles.dcm")


def tiles(image: npt.NDArray[np.generic]) -> list[npt.NDArray[np.generic]]:
    """Overlapping squares of SIDE pixels."""
    height, width = image.shape
    corners = [(y, x) for y in range(0, height - SIDE + 1, SIDE // 2) for x in range(0, width - SIDE + 1, SIDE // 2)]
    return [image[y : y + SIDE, x : x + SIDE] for y, x in corners]


def save_frames(frames: npt.NDArray[np.generic], source: Dataset, path: Path) -> None:
    """Write stored values of shape (N, SIDE, SIDE) as one file of N frames, to be shown as `source` is."""
    dataset = Dataset()
    dataset.update({element.tag: element for element in source if element.keyword in KEPT})
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = MultiFrameGrayscaleWordSecondaryCaptureImageStorage
    dataset.SOPInstanceUID = generate_uid()
    dataset.NumberOfFrames, dataset.Rows, dataset.Columns = frames.shape
    dataset.PixelData = frames.astype("<i2" if dataset.PixelRepresentation else "<u2").tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)


def main() -> int:
    """Run all of it; returns 1 if a promise is not kept."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("out/dicom"))
    out = parser.parse_args().out

    # 1. A file's values, of up to 16 bits, become 8 bits through a window.
    show_windows(file_of("CT_small.dcm"), out / "windows.png")
    difference = max(differs_from_pydicom(file_of(name), 40.0, 400.0) for name in ("CT_small.dcm", SOURCES["CT"]))
    console.print(f"largest difference from Hounsfield units of pydicom, windowed by hand: {difference} of 255\n")

    # 2. Train on files of many frames: "all" makes each frame a sample.
    tiles_root = out / "tiles"
    write_halves(tiles_root)
    result = lightly_train.train_image_classification(
        out=out / "run",
        overwrite=True,
        model="timm/test_resnet-notpretrained",
        data={
            "train": tiles_root / "train",
            "val": tiles_root / "val",
            "classes": ["CT", "MR"],
            "dicom_frame": "all",
            "dicom_window": "file",  # of MR, too, whose values have no unit that one window could be in
            "cache": "ram",
        },
        steps=150,
        batch_size=16,
        num_workers=0,
        model_args={"lr": 1.5e-3},
        transform_args={
            "image_size": (SIDE, SIDE),
            "random_crop": {"min_scale": 0.4},
            "val": {"resize_scale": 1.0},
        },
        logger_args={"val_every_num_steps": 25},
    )
    assert result.exported_best is not None

    # 3. Predict: the window and what a frame is are stored in the model.
    model = lightly_train.load_model(result.exported_best)
    file = tiles_root / "val" / "CT" / "tiles.dcm"
    prediction = model.predict(Frame(file, 40))
    label, score = int(prediction["labels"][0]), float(prediction["scores"][0])
    console.print(f"\nframe 40 of {file}: {model.classes[label]} ({score:.2f})")

    table_file = out / "predictions.csv"
    model.predict_folder(tiles_root / "val", table_file)
    right, count = Counter[str](), Counter[str]()
    with open(table_file, newline="") as opened:
        for row in csv.DictReader(opened):
            modality = Path(row["path"]).parent.name
            count[modality] += 1
            right[modality] += row["names"] == modality
    console.print(f"all frames: {table_file}")
    counted = right.total() / count.total()
    reported = result.best_metrics["val_metric/top1_acc_micro"]
    console.print(", ".join(f"{modality}: {right[modality]} of {count[modality]} right" for modality in SOURCES))
    console.print(f"accuracy: {reported:.2%} reported by training, {counted:.2%} counted from predict_folder")
    return int(difference > 1 or reported < GOAL or abs(reported - counted) > 1e-9)


if __name__ == "__main__":
    sys.exit(main())
