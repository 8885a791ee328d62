"""Builds an engine. Every name of TensorRT here is checked against lists of versions 10 and 11 by a test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from lt_data import Preprocessing
from lt_export.errors import EngineError
from lt_export.metadata import INPUT_NAME
from lt_export.runtime.tensorrt_library import messages, shared_log
from lt_export.tensorrt.options import BuildOptions

if TYPE_CHECKING:
    import tensorrt as trt


@attrs.frozen
class Built:
    """What TensorRT built.

    Attributes:
        engine: The engine.
        timing_cache: What it measured, with what it was given; empty where no cache was asked for.
    """

    engine: bytes = attrs.field(repr=False)
    timing_cache: bytes = attrs.field(repr=False)


def build_serialized(
    content: bytes, spec: Preprocessing, options: BuildOptions, *, dynamic: bool, timing_cache: bytes
) -> Built:
    """Build an engine of a strongly typed network: each tensor has the type that the ONNX file gives it.

    Args:
        content: The ONNX file.
        spec: Channels and size of the input.
        options: How.
        dynamic: Whether the file takes any number of images.
        timing_cache: What an earlier build measured, or empty.

    Raises:
        EngineError: TensorRT refuses the model, the options or the timing cache; with what it says.
    """
    import tensorrt as trt

    log = shared_log()
    messages().verbose = options.verbose
    try:
        builder = _builder(log)
        # TensorRT 11 knows no other networks, and ignores the flag.
        network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
        parser = trt.OnnxParser(network, log)
        if not parser.parse(content):
            errors = "; ".join(str(parser.get_error(number)) for number in range(parser.num_errors))
            raise EngineError(f"TensorRT cannot read the ONNX file: {errors or messages().reason()}")
        config = builder.create_builder_config()
        _configure(config, options, timing_cache)
        if dynamic:
            _add_profile(builder, config, spec, options)
        engine = builder.build_serialized_network(network, config)
        if engine is None:
            raise EngineError(f"TensorRT could not build the engine: {messages().reason()}")
        measured = b"" if options.timing_cache is None else bytes(config.get_timing_cache().serialize())
        return Built(bytes(engine), measured)
    finally:
        messages().verbose = False


def _builder(log: trt.ILogger) -> trt.Builder:
    import tensorrt as trt

    try:
        return trt.Builder(log)
    # So pybind11 reports that there is none, where CUDA fails for instance.
    except TypeError as error:
        raise EngineError(f"TensorRT cannot start: {messages().reason()}") from error


def _configure(config: trt.IBuilderConfig, options: BuildOptions, timing_cache: bytes) -> None:
    import tensorrt as trt

    # TF32 rounds products to 10 bits, and scores of fp32 by more than a self-test allows.
    config.clear_flag(trt.BuilderFlag.TF32)
    if options.workspace_bytes is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace_bytes)
    if options.version_compatible:
        config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
    if options.hardware_compatible:
        config.hardware_compatibility_level = trt.HardwareCompatibilityLevel.AMPERE_PLUS
    if options.timing_cache is not None:
        cache = config.create_timing_cache(timing_cache)
        if cache is None or not config.set_timing_cache(cache, False):
            raise EngineError(
                f"{options.timing_cache}: is no timing cache of this GPU and this TensorRT, name another file: "
                f"{messages().reason()}"
            )


def _add_profile(builder: trt.Builder, config: trt.IBuilderConfig, spec: Preprocessing, options: BuildOptions) -> None:
    import tensorrt as trt

    sizes = (options.batch.smallest, options.batch.best, options.batch.largest)
    least, best, most = (trt.Dims([size, spec.num_channels, *spec.image_size]) for size in sizes)
    profile = builder.create_optimization_profile()
    profile.set_shape(INPUT_NAME, least, best, most)
    if config.add_optimization_profile(profile) < 0:
        raise EngineError(f"TensorRT refuses batches of {sizes}: {messages().reason()}")
