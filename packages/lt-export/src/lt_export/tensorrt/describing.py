"""The description of an engine that somebody built without us, with trtexec for instance."""

from __future__ import annotations

import os

from lt_data import atomic_write
from lt_export.errors import EdgeModelError, EngineError
from lt_export.paths import as_path
from lt_export.runtime.engine_file import MAX_ENGINE_BYTES, manifest_path
from lt_export.runtime.files import read_bounded
from lt_export.runtime.tensorrt_library import what_is_missing
from lt_export.tensorrt.building import check_place
from lt_export.tensorrt.record import EngineBuild, examined, manifest_of
from lt_export.tensorrt.source import read_source


def describe_engine(
    onnx: str | os.PathLike[str], engine: str | os.PathLike[str], *, version_compatible: bool = False
) -> EngineBuild:
    """Write the description that `load` asks for, beside an engine that you built yourself from an ONNX file of ours.

    This runs the engine, and `load` will: an engine is native code, so call it only for one whose maker you trust as
    you trust a program. It runs where the engine is to run, with TensorRT and the GPU, and the engine must give the
    scores that are noted in the ONNX file. Batch sizes are those of the engine.

    Args:
        onnx: The ONNX file that the engine was built from.
        engine: The engine, `.trt`, `.engine` or `.plan`; it stays as it is.
        version_compatible: Whether it was built to run on newer versions of TensorRT too.

    Returns:
        Paths, size, and how the engine's scores compare with those in the ONNX file.

    Raises:
        EngineError: TensorRT or a GPU is missing, TensorRT refuses the engine, or it is one of another model.
        VerificationError: It gives other scores than the ONNX file.
        EdgeModelError: A file is missing, or `onnx` is not an ONNX file of ours.
    """
    path = check_place(engine)
    source = read_source(as_path(onnx, "onnx", EdgeModelError))
    content = read_bounded(path, MAX_ENGINE_BYTES)
    missing = what_is_missing()
    if missing:
        raise EngineError(f"{path}: an engine is described where it runs. {missing}")
    try:
        runner, verification = examined(content, source, host_code_allowed=version_compatible)
    except EdgeModelError as error:
        hint = "" if version_compatible else "; a version-compatible engine needs `version_compatible`"
        raise EngineError(f"{path}: {error}{hint}") from error
    manifest = manifest_of(content, source, runner, version_compatible=version_compatible)
    with atomic_write(manifest_path(path)) as stream:
        stream.write(manifest.to_json())
    return EngineBuild.of(path, manifest, verification)
