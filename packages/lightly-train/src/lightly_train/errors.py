"""Every error that a user of lightly-train may want to catch, from the package that raises it.

LtDataError               lt-data: arguments, folders, images
├── ConfigError           arguments are wrong; `problems` lists all
├── DatasetError          folders differ from their description
├── ImageDecodeError      a file is not an image that can be read
├── PredictionArgumentError  `topk`, `device` or another argument does not fit
└── TaskSpecError         a stored task description cannot be understood
LtModelsError             lt-models: names, weights
├── ModelConfigError      the model cannot be built that way
├── UnknownModelError     no model has that name
└── WeightsError          pretrained weights cannot be had
LtTrainError              lt-train: runs and model files
├── DeviceMemoryError     a GPU has no memory for an image
├── LoaderWorkerError     a process that loads images was killed
├── MainGuardError        a script without `if __name__ == "__main__":` cannot start workers here
├── ModelFileError        a file is no model of ours, or is damaged
├── OutOfSpaceError       a file does not fit on the disk
├── ResumeError           nothing to resume, or the run is not the same
├── RunFolderError        `out` is in use
├── TrainConfigError      settings fit no run of this data
└── TrainingDivergedError the loss stays not finite
LtExportError             lt-export: ONNX files
├── EdgeModelError        a file is no exported model
├── ExportError           the model could not be exported
│   ├── EngineError       TensorRT could not build an engine; the ONNX file may be there
│   └── VerificationError it answers differently once exported
└── MissingPackageError   an extra is not installed
"""

from __future__ import annotations

from lt_data import (
    ConfigError,
    DatasetError,
    ImageDecodeError,
    LtDataError,
    PredictionArgumentError,
    TaskSpecError,
)
from lt_export import EdgeModelError, EngineError, ExportError, LtExportError, MissingPackageError, VerificationError
from lt_models import LtModelsError, ModelConfigError, UnknownModelError, WeightsError
from lt_train import (
    DeviceMemoryError,
    LoaderWorkerError,
    LtTrainError,
    MainGuardError,
    ModelFileError,
    OutOfSpaceError,
    ResumeError,
    RunFolderError,
    TrainConfigError,
    TrainingDivergedError,
)

__all__ = [
    "ConfigError",
    "DatasetError",
    "DeviceMemoryError",
    "EdgeModelError",
    "EngineError",
    "ExportError",
    "ImageDecodeError",
    "LoaderWorkerError",
    "LtDataError",
    "LtExportError",
    "LtModelsError",
    "LtTrainError",
    "MainGuardError",
    "MissingPackageError",
    "ModelConfigError",
    "ModelFileError",
    "OutOfSpaceError",
    "PredictionArgumentError",
    "ResumeError",
    "RunFolderError",
    "TaskSpecError",
    "TrainConfigError",
    "TrainingDivergedError",
    "UnknownModelError",
    "VerificationError",
    "WeightsError",
]
