from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid


def save_shapes(root: Path) -> None:
    """A class folder of images of many sizes, modes and formats, whose classes are hard to tell apart."""
    rng = np.random.default_rng(0)
    sizes = [(32, 32), (7, 90), (120, 9), (1, 1), (33, 64), (200, 150), (31, 31), (500, 375), (64, 31), (3, 2)]
    for split, count in (("train", 20), ("val", 40)):
        for label, name in enumerate(("left", "right", "none")):
            (root / split / name).mkdir(parents=True)
            for i in range(count):
                height, width = sizes[(i + label) % len(sizes)]
                pixels = rng.integers(0, 200, (height, width, 3), dtype=np.uint8)
                half = slice(0, width // 2) if label == 0 else slice(width // 2, width) if label == 1 else slice(0, 0)
                pixels[:, half, 1] += 55
                save_as(Image.fromarray(pixels), root / split / name, i)


def save_as(image: Image.Image, folder: Path, i: int) -> None:
    """The i-th of twelve ways to store an image."""
    exif = Image.Exif()
    exif[0x0112] = 1 + i % 8
    ways = [
        lambda: image.save(folder / f"{i}.png"),
        lambda: image.save(folder / f"{i}.jpg", quality=90),
        lambda: image.save(folder / f"{i}.JPEG", exif=exif),
        lambda: image.convert("L").save(folder / f"{i}.png"),
        lambda: image.convert("RGBA").save(folder / f"{i}.webp", lossless=True),
        lambda: image.quantize(16).save(folder / f"{i}.png"),
        lambda: image.convert("CMYK").save(folder / f"{i}.jpg"),
        lambda: image.save(folder / f"{i}.tiff", compression="tiff_lzw"),
        lambda: Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257).save(folder / f"{i}.png"),
        lambda: image.convert("1").save(folder / f"{i}.bmp"),
        lambda: Image.fromarray(np.asarray(image.convert("L"), dtype=np.float32) / 255).save(folder / f"{i}.tif"),
        lambda: save_dicom(image, folder / (f"{i}.dcm" if i % 2 else f"1.2.840.{i}")),
    ]
    ways[i % len(ways)]()


def save_dicom(image: Image.Image, path: Path) -> None:
    """12 bits, least value white, with and without an ending; its own window is not the one that is asked for."""
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = SecondaryCaptureImageStorage
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = generate_uid(entropy_srcs=[str(path)])
    data.Rows, data.Columns, data.SamplesPerPixel = image.height, image.width, 1
    data.PhotometricInterpretation, data.PixelRepresentation = "MONOCHROME1", 0
    data.BitsAllocated, data.BitsStored, data.HighBit = 16, 12, 11
    data.RescaleSlope, data.RescaleIntercept, data.WindowCenter, data.WindowWidth = 1, -1024, 0, 10
    data.PixelData = (4095 - np.asarray(image.convert("L")).astype("<u2") * 16).tobytes()
    data.save_as(path, enforce_file_format=True)


@pytest.fixture(scope="session")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("shapes")
    save_shapes(root)
    return root
