from __future__ import annotations

import inspect

import pytest

import lt_train

NAMES = [
    "AccuracyArgs",
    "AverageArgs",
    "CalibrationArgs",
    "ClassTable",
    "DeviceMemoryError",
    "EarlyStoppingArgs",
    "ExportedModel",
    "JsonlArgs",
    "LoaderArgs",
    "LoaderWorkerError",
    "LoggerArgs",
    "LtTrainError",
    "MLflowArgs",
    "MainGuardError",
    "Measurement",
    "MetricArgs",
    "ModelArgs",
    "ModelFileError",
    "OutOfSpaceError",
    "PlainArgs",
    "ResumeError",
    "RunFolder",
    "RunFolderError",
    "SaveCheckpointArgs",
    "TensorBoardArgs",
    "TrainConfig",
    "TrainConfigError",
    "TrainData",
    "TrainResult",
    "TrainingDivergedError",
    "WandbArgs",
    "check_devices",
    "check_main_guard",
    "check_model_path",
    "confusion_counts",
    "console_log",
    "details",
    "finite_or_none",
    "first_process",
    "fit",
    "interrupted_run",
    "kept_log",
    "leave_on_signals",
    "load_exported",
    "measure",
    "per_class_csv",
    "read_yaml",
    "read_yaml_file",
    "save_exported",
    "scores_of",
    "write_json",
    "write_per_class",
]


def test_the_public_names_are_exactly_these():
    assert sorted(lt_train.__all__) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_has_a_docstring_of_its_own(name):
    assert (inspect.getdoc(getattr(lt_train, name)) or "").strip()
