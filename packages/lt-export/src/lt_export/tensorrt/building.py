"""From an ONNX file to an engine, on the machine that runs it or one like it; without PyTorch."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from lt_data import atomic_write, check_writable
from lt_export.errors import EdgeModelError, EngineError
from lt_export.paths import as_path
from lt_export.runtime import cuda
from lt_export.runtime.engine_file import AMPERE, ENDINGS, write_engine
from lt_export.runtime.files import read_bounded
from lt_export.runtime.tensorrt_library import what_is_missing
from lt_export.shell import NO_LINE, shell_line
from lt_export.tensorrt.command import trtexec_command
from lt_export.tensorrt.network import build_serialized
from lt_export.tensorrt.options import BuildOptions
from lt_export.tensorrt.record import EngineBuild, examined, manifest_of
from lt_export.tensorrt.source import EngineSource, read_source

logger = logging.getLogger(__name__)

MAX_TIMING_CACHE_BYTES = 2**30


def build_engine(
    onnx: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    min_batchsize: int = 1,
    opt_batchsize: int = 1,
    max_batchsize: int = 1,
    workspace_gb: float | None = None,
    timing_cache: str | os.PathLike[str] | None = None,
    version_compatible: bool = False,
    hardware_compatible: bool = False,
    verbose: bool = False,
) -> EngineBuild:
    """Build a TensorRT engine from an ONNX file of ours, and write it with a description that `load` asks for.

    The network is strongly typed: its precision is that of the ONNX file, which may be fp32, fp16 or int8. The engine
    must give the scores that are noted in the ONNX file before anything is written.

    Args:
        onnx: The ONNX file, exported without preprocessing.
        out: The engine to write, `.trt`, `.engine` or `.plan`; its description lies beside it as `<out>.json`.
        min_batchsize: Smallest number of images at once.
        opt_batchsize: The number it shall be fastest for.
        max_batchsize: Largest number of images at once.
        workspace_gb: Memory on the GPU that one operator may use, in GiB; None for all of it.
        timing_cache: A file with measurements of earlier builds, which shortens this one; read where it is, and
            written anew. Its folder must be there; where writing fails after the build, the log warns of it.
        version_compatible: Whether newer versions of TensorRT shall run the engine too. It may be slower, and holds
            code for the processor beside that for the GPU.
        hardware_compatible: Whether other GPUs of the Ampere generation or newer shall run it too. It may be slower.
        verbose: Whether TensorRT's messages go to the error output.

    Returns:
        Paths, size, and how the engine's scores compare with those in the ONNX file.

    Raises:
        EngineError: TensorRT, its libraries, or a GPU are missing, TensorRT refuses the model, or an argument is out
            of range. Where something is missing, the message and `command` say how trtexec builds the engine.
        VerificationError: The engine gives other scores than the ONNX file.
        EdgeModelError: `onnx` is not an ONNX file of ours.
    """
    options = BuildOptions(
        min_batchsize=min_batchsize,
        opt_batchsize=opt_batchsize,
        max_batchsize=max_batchsize,
        workspace_gb=workspace_gb,
        timing_cache=timing_cache,
        version_compatible=version_compatible,
        hardware_compatible=hardware_compatible,
        verbose=verbose,
    )
    engine = check_place(out)
    check_timing_cache(options.timing_cache)
    return build_with(as_path(onnx, "onnx", EdgeModelError), engine, options)


def build_with(onnx: Path, engine: Path, options: BuildOptions) -> EngineBuild:
    """`build_engine` with arguments that were checked."""
    source = read_source(onnx)
    source.check_batch(options.batch)
    missing = what_is_missing()
    if missing:
        command = trtexec_command(source, engine, options)
        raise EngineError(_without_tensorrt(missing, source, engine, options, command), command=command)
    return _build(source, engine, options)


def check_place(given: str | os.PathLike[str]) -> Path:
    """Where an engine can be written that `load` will know as one.

    Raises:
        EngineError: It cannot.
    """
    out = as_path(given, "the engine", EngineError)
    if out.suffix.lower() not in ENDINGS:
        raise EngineError(f"{out}: an engine's name ends in {', '.join(ENDINGS)}")
    if out.is_dir():
        raise EngineError(f"{out}: is a folder; name a file")
    _check_folder(out.parent)
    return out


def check_timing_cache(path: Path | None) -> None:
    """See whether a timing cache can be written, before the minutes whose measurements it shall hold.

    Raises:
        EngineError: It cannot.
    """
    if path is None:
        return
    if path.is_dir():
        raise EngineError(f"timing_cache: {path}: is a folder; name a file")
    _check_folder(path.parent, "timing_cache: ")


def _check_folder(folder: Path, argument: str = "") -> None:
    if not folder.is_dir():
        raise EngineError(f"{argument}{folder}: there is no such folder")
    try:
        check_writable(folder)
    except OSError as error:
        raise EngineError(f"{argument}{folder}: cannot be written to: {error.strerror}") from error


def _build(source: EngineSource, out: Path, options: BuildOptions) -> EngineBuild:
    gpu = cuda.current_gpu()
    if options.hardware_compatible and gpu.compute_capability < AMPERE:
        raise EngineError(f"hardware_compatible needs a GPU of the Ampere generation or newer, this is {gpu}")
    logger.info("building an engine for %s, which can take minutes", gpu)
    try:
        built = build_serialized(
            source.content,
            source.description.task.preprocessing,
            options,
            dynamic=source.fixed_batch is None,
            timing_cache=_timing_cache(options.timing_cache),
        )
        logger.info("comparing the engine's scores with those in %s", source.path)
        runner, verification = examined(built.engine, source, host_code_allowed=options.version_compatible)
    except (EngineError, EdgeModelError) as error:
        raise EngineError(f"{source.path}: {error}") from error
    manifest = manifest_of(built.engine, source, runner, version_compatible=options.version_compatible)
    logger.info("writing %s", out)
    write_engine(out, built.engine, manifest)
    if options.timing_cache is not None:
        _write_timing_cache(options.timing_cache, built.timing_cache)
    logger.info("built %s (%.1f MB): %s", out, len(built.engine) / 1e6, verification)
    return EngineBuild.of(out, manifest, verification)


def _write_timing_cache(path: Path, content: bytes) -> None:
    """Only the next build is slower where this fails: the engine is written by now."""
    try:
        with atomic_write(path) as stream:
            stream.write(content)
    except OSError as error:
        logger.warning("%s: the timing cache could not be written: %s", path, error.strerror or error)


def _timing_cache(path: Path | None) -> bytes:
    if path is None or not path.exists():
        return b""
    return read_bounded(path, MAX_TIMING_CACHE_BYTES)


def _without_tensorrt(missing: str, source: EngineSource, out: Path, options: BuildOptions, command: str) -> str:
    given = f"{str(source.path)!r}, {str(out)!r}" + (", version_compatible=True" * options.version_compatible)
    words = ["lt-export", "describe-engine", str(source.path), str(out)]
    words += ["--version-compatible"] * options.version_compatible
    first = (
        f"no engine was built: {missing}\n"
        f"The ONNX file is {source.path}. Where TensorRT and the GPU are, build_engine makes the engine from it"
    )
    if not command:
        return f"{first}. No command of trtexec is shown, since {NO_LINE}; rename the files for one."
    return (
        f"{first}, and so does this (TensorRT 11 needs no --stronglyTyped):\n"
        f"  {command}\n"
        f"and then, so that `load` runs it, one of these:\n"
        f"  {shell_line(words)}\n"
        f"  lt_export.describe_engine({given})"
    )
