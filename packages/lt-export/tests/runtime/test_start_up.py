from __future__ import annotations

import subprocess
import sys

import pytest
from PIL import Image

LEFT_OUT = (
    "urllib.request",
    "lt_data.index",
    "lt_data.folder_prediction",
    "lt_data.prediction_table",
    "lt_data.images.dicom",
)


@pytest.mark.parametrize("module", LEFT_OUT)
def test_classifying_an_image_file_does_not_wait_for_what_it_does_not_use(make_onnx, tmp_path, module):
    Image.new("RGB", (30, 20), "red").save(tmp_path / "image.png")
    program = (
        "import sys, lt_export; model, image, module = sys.argv[1:]; "
        "lt_export.load(model).predict(image); print(module in sys.modules)"
    )
    command = [sys.executable, "-c", program, str(make_onnx()), str(tmp_path / "image.png"), module]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "False\n"
