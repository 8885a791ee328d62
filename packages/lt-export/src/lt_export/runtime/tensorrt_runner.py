"""Runs an engine. Every name of TensorRT here is checked against lists of versions 10 and 11 by a test."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np
import numpy.typing as npt

from lt_data import TaskSpec
from lt_export.errors import EdgeModelError
from lt_export.metadata import INPUT_NAME, OUTPUT_NAME
from lt_export.runtime import cuda
from lt_export.runtime.engine_file import BatchSizes
from lt_export.runtime.runner import BatchLimits
from lt_export.runtime.tensorrt_library import installed_version, messages, shared_log

if TYPE_CHECKING:
    import tensorrt as trt

FLOAT_BYTES = 4


@attrs.frozen(eq=False, kw_only=True)
class TensorRTRunner:
    """An engine on the GPU that its thread used when it was opened.

    Attributes:
        context: Holds the engine's working memory; one batch at a time.
        engine: Outlives the context.
        batch: Numbers of images at once.
        lane: Device memory of the largest batch and of its scores, and where copies and the engine run, in order.
        classes: Scores of an image.
        hardware_compatible: Whether the engine was built for other GPUs too.
        device: GPU and version of TensorRT, for people.
    """

    context: trt.IExecutionContext
    engine: trt.ICudaEngine
    batch: BatchSizes
    lane: cuda.Lane
    classes: int
    hardware_compatible: bool
    device: str
    lock: threading.Lock = attrs.field(factory=threading.Lock)

    @property
    def batch_limits(self) -> BatchLimits:
        """Numbers of images that `run` takes."""
        return BatchLimits(self.batch.smallest, self.batch.largest)

    def run(self, images: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Scores of one batch; threads take turns."""
        if not self.batch.smallest <= len(images) <= self.batch.largest:
            raise EdgeModelError(f"the engine takes {self.batch.smallest} to {self.batch.largest} images at once")
        prepared = np.ascontiguousarray(images, dtype=np.float32)
        scores = np.empty((len(prepared), self.classes), dtype=np.float32)
        given, taken = self.lane.addresses
        with self.lock, cuda.using_device(self.lane.device):
            try:
                cuda.copy_to_device(given, prepared, self.lane.stream)
                self._execute(prepared.shape)
                cuda.copy_to_host(scores, taken, self.lane.stream)
            finally:
                # Also after a failure: a copy that has begun still reads `prepared`.
                cuda.wait(self.lane.stream)
        return scores

    def _execute(self, shape: tuple[int, ...]) -> None:
        given, taken = self.lane.addresses
        if not (
            self.context.set_input_shape(INPUT_NAME, shape)
            and self.context.set_tensor_address(INPUT_NAME, given)
            and self.context.set_tensor_address(OUTPUT_NAME, taken)
            and self.context.execute_async_v3(self.lane.stream)
        ):
            raise EdgeModelError(f"TensorRT could not run a batch of {shape}: {messages().reason()}")


def open_engine(content: bytes, task: TaskSpec, *, host_code_allowed: bool) -> TensorRTRunner:
    """Deserialise an engine, which runs code of its maker: `content` must be what the caller trusts.

    Args:
        content: The engine.
        task: What its input and output must fit.
        host_code_allowed: Whether it may bring code for the processor, as version-compatible engines do.

    Raises:
        EdgeModelError: TensorRT refuses it, the GPU has too little memory, or it is an engine of something else.
    """
    import tensorrt as trt

    try:
        runtime = trt.Runtime(shared_log())
    # So pybind11 reports that there is none, where CUDA fails for instance.
    except TypeError as error:
        raise EdgeModelError(f"TensorRT cannot start: {messages().reason()}") from error
    runtime.engine_host_code_allowed = host_code_allowed
    engine = runtime.deserialize_cuda_engine(content)
    if engine is None:
        raise EdgeModelError(f"TensorRT refuses the engine: {messages().reason()}")
    _check_signature(engine, task)
    batch = _batch_sizes(engine)
    context = engine.create_execution_context()
    if context is None:
        raise EdgeModelError(f"TensorRT cannot run the engine: {messages().reason()}")
    spec = task.preprocessing
    pixels = spec.num_channels * spec.image_size[0] * spec.image_size[1]
    return TensorRTRunner(
        context=context,
        engine=engine,
        batch=batch,
        lane=cuda.open_lane(batch.largest * pixels * FLOAT_BYTES, batch.largest * len(task.classes) * FLOAT_BYTES),
        classes=len(task.classes),
        hardware_compatible=engine.hardware_compatibility_level == trt.HardwareCompatibilityLevel.AMPERE_PLUS,
        device=f"{cuda.current_gpu().name} (TensorRT {installed_version()})",
    )


def _check_signature(engine: trt.ICudaEngine, task: TaskSpec) -> None:
    """Input and output must be those of our ONNX files, in shape and type."""
    import tensorrt as trt

    spec = task.preprocessing
    expected = {
        INPUT_NAME: (trt.TensorIOMode.INPUT, (spec.num_channels, *spec.image_size)),
        OUTPUT_NAME: (trt.TensorIOMode.OUTPUT, (len(task.classes),)),
    }
    found = [engine.get_tensor_name(number) for number in range(engine.num_io_tensors)]
    if sorted(found) != sorted(expected):
        raise EdgeModelError(f"expected an engine with {' and '.join(expected)}, it has {', '.join(found)}")
    for name, (mode, shape) in expected.items():
        sizes = engine.get_tensor_shape(name)[:]
        kind = engine.get_tensor_dtype(name)
        if engine.get_tensor_mode(name) != mode or kind != trt.DataType.FLOAT or sizes[1:] != shape:
            raise EdgeModelError(
                f"expected `{name}` as float32 of (N, {', '.join(map(str, shape))}), got {kind} {sizes}"
            )


def _batch_sizes(engine: trt.ICudaEngine) -> BatchSizes:
    size = engine.get_tensor_shape(INPUT_NAME)[0]
    if size > 0:
        return BatchSizes(size, size, size)
    return BatchSizes(*(shape[0] for shape in engine.get_tensor_profile_shape(INPUT_NAME, 0)))
