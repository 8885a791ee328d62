"""What is noted of an engine, and only after it gave the scores of its ONNX file."""

from __future__ import annotations

from pathlib import Path

import attrs

from lt_export.agreement import Agreement
from lt_export.errors import SelfTestError, VerificationError
from lt_export.runtime import cuda
from lt_export.runtime.checks import selftest
from lt_export.runtime.classifier import EdgeClassifier
from lt_export.runtime.engine_file import EngineManifest, manifest_path, sha256, this_system
from lt_export.runtime.tensorrt_library import installed_version
from lt_export.runtime.tensorrt_runner import TensorRTRunner, open_engine
from lt_export.tensorrt.source import EngineSource


@attrs.frozen(kw_only=True)
class EngineBuild:
    """An engine that `load` takes.

    Attributes:
        path: The engine.
        manifest: The file beside it that describes it.
        size: Of the engine in bytes.
        verification: How its scores compare with those in the ONNX file.
        tensorrt: Version of TensorRT that built it.
        gpu: GPU that it was built on.
    """

    path: Path
    manifest: Path
    size: int
    verification: Agreement
    tensorrt: str
    gpu: str

    @classmethod
    def of(cls, path: Path, manifest: EngineManifest, verification: Agreement) -> EngineBuild:
        """What to tell of an engine that was written."""
        return cls(
            path=path,
            manifest=manifest_path(path),
            size=manifest.engine_bytes,
            verification=verification,
            tensorrt=manifest.tensorrt,
            gpu=str(manifest.gpu),
        )


def examined(content: bytes, source: EngineSource, *, host_code_allowed: bool) -> tuple[TensorRTRunner, Agreement]:
    """Run an engine that we built, or its maker vouches for, on the images whose scores its ONNX file notes.

    Raises:
        VerificationError: The scores differ.
        EdgeModelError: TensorRT cannot run the engine, it is one of something else, or the ONNX file notes no scores.
    """
    description = source.description
    runner = open_engine(content, description.task, host_code_allowed=host_code_allowed)
    try:
        passed = selftest(EdgeClassifier(runner, description).scores, description)
    except SelfTestError as error:
        raise VerificationError(
            f"{source.path}: the engine gives other scores than this file notes, so nothing was written: {error}"
        ) from error
    return runner, passed.agreement


def manifest_of(
    content: bytes, source: EngineSource, runner: TensorRTRunner, *, version_compatible: bool
) -> EngineManifest:
    """What to write beside an engine that runs on this machine."""
    return EngineManifest(
        description=source.description,
        batch=runner.batch,
        tensorrt=installed_version(),
        gpu=cuda.current_gpu(),
        system=this_system(),
        version_compatible=version_compatible,
        hardware_compatible=runner.hardware_compatible,
        engine_sha256=sha256(content),
        engine_bytes=len(content),
        onnx_sha256=sha256(source.content),
    )
