"""From an engine and the file beside it to a classifier."""

from __future__ import annotations

from pathlib import Path

from lt_export.errors import EdgeModelError
from lt_export.runtime import cuda
from lt_export.runtime.classifier import EdgeClassifier
from lt_export.runtime.engine_file import read_engine, this_system
from lt_export.runtime.tensorrt_library import installed_version, what_is_missing
from lt_export.runtime.tensorrt_runner import open_engine

DEVICES = ("auto", "cuda", "tensorrt")
"""Where an engine runs: on a GPU, by TensorRT, and nowhere else."""


def load_engine(file: Path, *, device: str, num_threads: int | None) -> EdgeClassifier:
    """Check an engine against the file beside it and against this machine, and only then let TensorRT read it.

    Raises:
        EdgeModelError: It is not what the file beside it describes, cannot run here, or an argument does not fit.
    """
    if device not in DEVICES:
        raise EdgeModelError(f"{file}: an engine runs on device {', '.join(DEVICES)}, got {device!r}")
    if num_threads is not None:
        raise EdgeModelError(f"{file}: num_threads is for ONNX files; an engine runs on a GPU")
    engine = read_engine(file)
    missing = what_is_missing()
    if missing:
        raise EdgeModelError(f"{file}: cannot run here. {missing}")
    manifest = engine.manifest
    try:
        manifest.check_runs_on(tensorrt=installed_version(), gpu=cuda.current_gpu(), system=this_system())
        runner = open_engine(engine.content, manifest.description.task, host_code_allowed=manifest.version_compatible)
    except EdgeModelError as error:
        raise EdgeModelError(f"{file}: {error}") from error
    if runner.batch != manifest.batch:
        raise EdgeModelError(f"{file}: takes {runner.batch}, its description says {manifest.batch}")
    return EdgeClassifier(runner, manifest.description)
