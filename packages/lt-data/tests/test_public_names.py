from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

import lt_data

NAMES = [
    "Calibration",
    "Classes",
    "ColorJitter",
    "ConfigError",
    "DataConfig",
    "DataReport",
    "DatasetError",
    "DatasetIndex",
    "Decoding",
    "FolderPrediction",
    "Frame",
    "ImageDecodeError",
    "ImageLike",
    "ImagePrediction",
    "LabelledSplit",
    "LtDataError",
    "MAX_PIXELS",
    "Normalize",
    "Prediction",
    "PredictionArgumentError",
    "Preprocessing",
    "Problem",
    "RandomCrop",
    "RandomFlip",
    "ResolvedTransforms",
    "STRUCTURE",
    "SampleIndex",
    "Scan",
    "TaskSpec",
    "TaskSpecError",
    "Threshold",
    "TransformConfig",
    "UniqueKeyLoader",
    "ValTransformConfig",
    "above",
    "at_least",
    "atomic_write",
    "base_letters",
    "between",
    "build_index",
    "check",
    "check_selection",
    "check_several",
    "check_writable",
    "data_keys",
    "data_paths",
    "enumerated",
    "index_for_model",
    "is_whole",
    "listed",
    "load_data_config",
    "load_image",
    "load_inputs",
    "looked_for",
    "nearest",
    "plain_values",
    "predict_folder",
    "preprocess",
    "resolve_transforms",
    "results_in_order",
    "scan_folder",
    "scan_images",
    "select_labels",
    "structure",
    "told_apart",
    "unknown_key",
    "unreadable_yaml",
    "usable_processors",
    "user_path",
    "write_split",
]


def test_the_public_names_are_exactly_these():
    assert sorted(lt_data.__all__) == NAMES


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("ImageLike", "Threshold")])
def test_every_public_name_has_a_docstring_of_its_own(name):
    assert (inspect.getdoc(getattr(lt_data, name)) or "").strip(), name


def test_importing_lt_data_imports_nothing_heavy():
    code = "import sys, lt_data; print(sorted({'numpy', 'PIL', 'cattrs', 'torch', 'yaml'} & set(sys.modules)))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_without_pytorch_its_part_says_how_to_install_it():
    code = "import sys; sys.modules['torch'] = None; import lt_data.torch"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert 'pip install "lt-data[torch]"' in done.stderr
