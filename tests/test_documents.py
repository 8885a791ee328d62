"""Every Python example of the README and of the documentation runs as written, in the order of the pages."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom.data import get_testdata_file

ROOT = Path(__file__).parent.parent
PAGES = {
    "README.md": ["README.md"],
    "documentation": [
        "docs/quickstart.md",
        "docs/data.md",
        "docs/dicom.md",
        "docs/multilabel.md",
        "docs/training.md",
        "docs/transforms.md",
        "docs/imbalance.md",
        "docs/distributed.md",
        "docs/logging.md",
        "docs/report.md",
        "docs/models.md",
        "docs/predict.md",
        "docs/evaluate.md",
        "docs/calibration.md",
        "docs/onnx.md",
        "docs/edge.md",
        "docs/tensorrt.md",
        "docs/server.md",
        "docs/migrating.md",
        "docs/reliability.md",
    ],
    "lt-data": ["packages/lt-data/README.md"],
    "lt-models": ["packages/lt-models/README.md"],
    "lt-train": ["packages/lt-train/README.md"],
}

STAND_IN = ("timm/resnet18", "timm/test_resnet-notpretrained")
"""Published weights need a network; a small network takes their place."""


def examples(page: str) -> list[str]:
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)


def save_scans(folder: Path) -> None:
    """Files of pydicom: a slice each of four patients in CT and four in MR, and one of two frames."""
    folder.mkdir()
    rows = [f"{i:03}.dcm,{'CT' if i < 5 else 'MR'},p{i}" for i in range(1, 9)]
    for i in range(1, 9):
        shipped = get_testdata_file("CT_small.dcm" if i < 5 else "MR_small.dcm", download=False)
        shutil.copy(shipped, folder / f"{i:03}.dcm")
    shutil.copy(get_testdata_file("SC_rgb_rle_2frame.dcm", download=False), folder / "cine.dcm")
    (folder / "scans.csv").write_text("\n".join(["image_path,label,patient", *rows]))
    (folder / "frames.csv").write_text("image_path,label\ncine.dcm,US\n001.dcm,CT")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        for label, name in enumerate(("cat", "car", "dog")):
            (tmp_path / "my_data_dir" / split / name).mkdir(parents=True)
            for i in range(1, 4):
                pixels = rng.integers(0, 128, (40, 50, 3), dtype=np.uint8)
                pixels[:, :, label] += 100
                Image.fromarray(pixels).save(tmp_path / "my_data_dir" / split / name / f"img{i}.jpg")
        rows = [f'{split}/{name}/img{i}.jpg,"{name},dog"' for name in ("cat", "car") for i in range(1, 4)]
        (tmp_path / "my_data_dir" / f"{split}.csv").write_text("\n".join(["image_path,label", *rows]))
    rows = ["train/cat/img1.jpg,1,0,1", "train/car/img1.jpg,0,1,0", "train/car/img2.jpg,,,"]
    (tmp_path / "my_data_dir/one_hot.csv").write_text("\n".join(["image_path,cat,car,dog", *rows]))
    save_scans(tmp_path / "scans")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("pages", PAGES.values(), ids=list(PAGES))
def test_the_examples_run_as_written(pages, folder, monkeypatch):
    # The examples leave `steps` to the data set; a few are enough to see that they run.
    monkeypatch.setattr("lt_train.auto.AUTO_STEPS", (2, 2))
    found = [example for page in pages for example in examples(page)]
    assert found
    for example in found:
        program = example if "notpretrained" in example else example.replace(*STAND_IN)
        exec(compile(program, str(pages), "exec"), {"__name__": "__main__"})


def test_every_page_of_the_documentation_with_examples_is_run():
    with_examples = {f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md") if examples(f"docs/{page.name}")}
    assert with_examples == set(PAGES["documentation"])
