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
    "fit",
    "load_exported",
    "measure",
    "save_exported",
]


def test_the_public_names_are_exactly_these():
    assert sorted(lt_train.__all__) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_has_a_docstring_of_its_own(name):
    assert (inspect.getdoc(getattr(lt_train, name)) or "").strip()
