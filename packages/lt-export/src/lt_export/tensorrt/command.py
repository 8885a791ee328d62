"""The command of NVIDIA's trtexec that builds the same engine, for machines where TensorRT's Python package is not."""

from __future__ import annotations

from pathlib import Path

from lt_export.metadata import INPUT_NAME
from lt_export.shell import shell_line
from lt_export.tensorrt.options import BuildOptions
from lt_export.tensorrt.source import EngineSource


def trtexec_command(source: EngineSource, out: Path, options: BuildOptions) -> str:
    """A command as `shell_line` makes it; TensorRT 11, whose networks are always so, needs no `--stronglyTyped`."""
    arguments = ["trtexec", f"--onnx={source.path}", f"--saveEngine={out}", "--stronglyTyped", "--noTF32"]
    # trtexec refuses shapes for a file whose own are fixed.
    if source.fixed_batch is None:
        spec, batch = source.description.task.preprocessing, options.batch
        for name, size in (("min", batch.smallest), ("opt", batch.best), ("max", batch.largest)):
            shape = "x".join(map(str, (size, spec.num_channels, *spec.image_size)))
            arguments.append(f"--{name}Shapes={INPUT_NAME}:{shape}")
    if options.workspace_bytes is not None:
        arguments.append(f"--memPoolSize=workspace:{options.workspace_bytes // 2**20}M")
    if options.timing_cache is not None:
        arguments.append(f"--timingCacheFile={options.timing_cache}")
    if options.version_compatible:
        arguments.append("--versionCompatible")
    if options.hardware_compatible:
        arguments.append("--hardwareCompatibilityLevel=ampere+")
    arguments.append("--skipInference")
    if options.verbose:
        arguments.append("--verbose")
    return shell_line(arguments)
