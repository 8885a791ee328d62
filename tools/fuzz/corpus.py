"""The good files that fuzzing starts from."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pydicom.data
from PIL import Image

MAX_DICOM_BYTES = 80_000
TABLE = "image_path,label\na.png,cat\nb.png,dog\nsub/c.png,cat\n"
ONE_HOT = "image_path,cat,dog\na.png,1,0\nb.png,0,1\nsub/c.png,1,0\n"


def images() -> Iterator[tuple[str, bytes]]:
    """Small pictures in every format and many of its forms: suffix and content."""
    rng = np.random.default_rng(0)
    rgb = Image.fromarray(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8))
    rgba = Image.fromarray(rng.integers(0, 256, (24, 32, 4), dtype=np.uint8))
    grey16 = Image.fromarray(rng.integers(0, 65536, (24, 32), dtype=np.uint16))
    real = Image.fromarray(rng.random((24, 32), dtype=np.float32))
    exif = Image.Exif()
    exif[0x0112] = 6
    forms: list[tuple[str, str, Image.Image, dict[str, object]]] = [
        (".jpg", "JPEG", rgb, {"exif": exif.tobytes()}),
        (".jpg", "JPEG", rgb, {"progressive": True, "subsampling": 0}),
        (".jpeg", "JPEG", rgb.convert("L"), {"restart_marker_blocks": 2}),
        (".jpg", "JPEG", rgb.convert("CMYK"), {}),
        (".png", "PNG", rgb, {}),
        (".png", "PNG", rgba, {}),
        (".png", "PNG", grey16, {}),
        (".png", "PNG", rgb.convert("P"), {"transparency": 3}),
        (".png", "PNG", rgb.convert("1"), {}),
        (".ppm", "PPM", rgb, {}),
        (".pgm", "PPM", grey16, {}),
        (".bmp", "BMP", rgb, {}),
        (".bmp", "BMP", rgb.convert("P"), {}),
        (".tif", "TIFF", rgb, {}),
        (".tif", "TIFF", rgb, {"compression": "tiff_lzw"}),
        (".tiff", "TIFF", rgb, {"compression": "jpeg"}),
        (".tiff", "TIFF", grey16, {"compression": "tiff_adobe_deflate"}),
        (".tif", "TIFF", real, {}),
        (".tif", "TIFF", rgb.convert("1"), {"compression": "group4"}),
        (".webp", "WEBP", rgb, {}),
        (".webp", "WEBP", rgba, {"lossless": True}),
        (".webp", "WEBP", rgb, {"save_all": True, "append_images": [rgb.rotate(90)]}),
    ]
    for suffix, kind, image, options in forms:
        buffer = io.BytesIO()
        image.save(buffer, kind, **options)
        yield suffix, buffer.getvalue()


def dicoms() -> Iterator[tuple[str, bytes]]:
    """The smaller ones of the files that pydicom ships."""
    for file in sorted(Path(pydicom.data.__file__).parent.glob("**/*.dcm")):
        if file.stat().st_size <= MAX_DICOM_BYTES:
            yield ".dcm", file.read_bytes()


def tables() -> Iterator[tuple[str, bytes]]:
    """CSV in several encodings and forms, and Parquet."""
    for text in (TABLE, ONE_HOT, TABLE.replace("\n", "\r\n"), 'image_path,label\n"a.png","cat"\n"b.png","d\nog"\n'):
        yield ".csv", text.encode()
        yield ".csv", text.encode("utf-8-sig")
        yield ".csv", text.encode("utf-16")
    buffer = io.BytesIO()
    columns = {"image_path": ["a.png", "b.png"], "label": ["cat", "dog"]}
    pyarrow.parquet.write_table(pa.table(columns), buffer)
    yield ".parquet", buffer.getvalue()
