"""Pictures of the documentation that are made from data which packages bring: windows of a CT, house numbers.

    python tools/docs_pictures.py [FOLDER]

Needs scikit-learn and lt-data[dicom]. FOLDER is docs/images if not given. The CT is `CT_small.dcm` of pydicom.
"""

from __future__ import annotations

import csv
import sys
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont
from pydicom.data import get_testdata_file

from lt_data import Decoding, load_image

ROOT = Path(__file__).parent.parent
WINDOWS: dict[str, Any] = {
    '"file": least to greatest': "file",
    "(40, 400): soft tissue": (40.0, 400.0),
    "(300, 1500): bone": (300.0, 1500.0),
    '"off": all 65,536 values': "off",
}
CAPTION_HEIGHT = 22
GAP = 8


def windows(width: int = 200) -> list[tuple[Image.Image, str]]:
    """One CT image through different windows."""
    file = get_testdata_file("CT_small.dcm", download=False)
    pictures = []
    for name, window in WINDOWS.items():
        pixels = load_image(str(file), num_channels=1, decoding=Decoding(dicom_window=window))[:, :, 0]
        pictures.append((Image.fromarray(pixels).resize((width, width), Image.Resampling.BICUBIC), name))
    return pictures


def house_numbers(count: int = 5) -> list[tuple[Image.Image, str]]:
    """Images of `examples/multilabel.py`, an empty one first, with their labels."""
    sys.path.insert(0, str(ROOT / "examples"))
    from multilabel import write_house_numbers

    with tempfile.TemporaryDirectory() as folder:
        write_house_numbers(Path(folder))
        with open(Path(folder) / "val.csv", newline="") as file:
            rows = list(csv.DictReader(file))[2 : 2 + count]
        pictures = []
        for row in rows:
            with Image.open(Path(folder) / row["image_path"]) as image:
                large = image.resize((6 * image.width, 6 * image.height), Image.Resampling.NEAREST)
            pictures.append((large, f'"{row["label"]}"'))
    return pictures


def in_a_row(pictures: list[tuple[Image.Image, str]]) -> Image.Image:
    """Pictures of one size side by side, each above its caption."""
    width, height = pictures[0][0].size
    sheet = Image.new("L", (len(pictures) * (width + GAP) - GAP, height + CAPTION_HEIGHT), 255)
    draw = ImageDraw.Draw(sheet)
    for i, (picture, caption) in enumerate(pictures):
        left = i * (width + GAP)
        sheet.paste(picture, (left, 0))
        draw.text((left + width // 2, height + 4), caption, fill=0, anchor="ma", font=ImageFont.load_default(13))
    return sheet


def main() -> None:
    """Write the pictures."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs/images"
    folder.mkdir(parents=True, exist_ok=True)
    in_a_row(windows()).save(folder / "dicom_windows.png", optimize=True)
    in_a_row(house_numbers()).save(folder / "house_numbers.png", optimize=True)


if __name__ == "__main__":
    main()
