"""ONNX Runtime, set for one image at a time on a machine that does other things too."""

from __future__ import annotations

import functools
import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

import attrs
import numpy as np
import numpy.typing as npt

from lt_data import usable_processors
from lt_export.errors import EdgeModelError, MissingPackageError
from lt_export.metadata import INPUT_NAME, OUTPUT_NAME
from lt_export.runtime.runner import BatchLimits

if TYPE_CHECKING:
    import onnxruntime

logger = logging.getLogger(__name__)

Device = Literal["auto", "cpu", "cuda", "tensorrt", "coreml", "openvino"]
DEVICES = get_args(Device)

PROVIDERS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    # TF32 would round scores by more than 1e-4.
    "cuda": ("CUDAExecutionProvider", {"use_tf32": "0"}),
    "tensorrt": ("TensorrtExecutionProvider", {}),
    "coreml": ("CoreMLExecutionProvider", {}),
    "openvino": ("OpenVINOExecutionProvider", {}),
    "cpu": ("CPUExecutionProvider", {}),
}
"""By device, in the order of preference: ONNX Runtime's name and our options."""


MAX_MEMORY_BYTES = 8 * 2**30
"""What all models of a process may take on the CPU for what is between their nodes: a file cannot fill the machine."""


@attrs.frozen(eq=False)
class OnnxRunner:
    """A session of ONNX Runtime.

    Attributes:
        session: The session.
    """

    session: onnxruntime.InferenceSession

    @property
    def batch_limits(self) -> BatchLimits:
        """Numbers of images that `run` takes."""
        size = self.session.get_inputs()[0].shape[0]
        return BatchLimits(size, size) if isinstance(size, int) else BatchLimits()

    @property
    def device(self) -> str:
        """The first of the providers that the session has."""
        import onnxruntime

        first = self.session.get_providers()[0]
        names = {name: device for device, (name, _) in PROVIDERS.items()}
        return f"{names.get(first, first)} (ONNX Runtime {onnxruntime.__version__})"

    def run(self, images: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Scores of one batch."""
        try:
            scores: npt.NDArray[np.float32] = self.session.run([OUTPUT_NAME], {INPUT_NAME: images})[0]
        # ONNX Runtime's exceptions share no base class but this.
        except Exception as error:
            raise EdgeModelError(f"ONNX Runtime cannot run the model on a batch of {images.shape}: {error}") from error
        return scores


def open_session(
    content: bytes, *, device: Device = "auto", num_threads: int | None = None
) -> onnxruntime.InferenceSession:
    """A session for a model in memory.

    Args:
        content: The serialised model.
        device: Where it runs; auto takes what there is, best first: cuda, tensorrt, coreml, openvino, cpu.
        num_threads: Threads of one operator; None takes one for each processor that this process may use, which in a
            container is what it was given.

    Raises:
        EdgeModelError: ONNX Runtime cannot read the model, or does not run on `device` here.
        MissingPackageError: onnxruntime is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingPackageError("onnxruntime", "onnxruntime", "running an ONNX file") from error
    _limit_memory()
    wanted = _providers(device, onnxruntime.get_available_providers())
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = num_threads or usable_processors()
    # Idle threads must not keep cores busy between predictions.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.use_env_allocators", "1")
    try:
        session = onnxruntime.InferenceSession(content, options, providers=wanted)
    # ONNX Runtime's exceptions share no base class but this.
    except Exception as error:
        raise EdgeModelError(f"ONNX Runtime cannot read the model: {error}") from error
    _check_providers(session, wanted, device)
    return session


@functools.cache
def _limit_memory() -> None:
    """Give ONNX Runtime, once in a process, an allocator with a limit; sessions of others do not use it."""
    import onnxruntime

    place = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    onnxruntime.create_and_register_allocator(place, onnxruntime.OrtArenaCfg({"max_mem": MAX_MEMORY_BYTES}))


def _providers(device: Device, available: Sequence[str]) -> list[tuple[str, dict[str, str]]]:
    if device not in DEVICES:
        raise EdgeModelError(f"device must be one of {', '.join(DEVICES)}, got {device!r}")
    cpu = PROVIDERS["cpu"]
    chosen = PROVIDERS.values() if device == "auto" else [PROVIDERS[device], *([cpu] if device != "cpu" else [])]
    if device != "auto" and PROVIDERS[device][0] not in available:
        raise EdgeModelError(
            f"this ONNX Runtime has no {PROVIDERS[device][0]}; it runs on {', '.join(_known(available))}. "
            'device="auto" takes the best that there is; lt-export[onnxruntime-gpu] brings cuda and tensorrt'
        )
    return [(name, dict(options)) for name, options in chosen if name in available]


def _known(available: Sequence[str]) -> list[str]:
    return [device for device, (name, _) in PROVIDERS.items() if name in available]


def _check_providers(
    session: onnxruntime.InferenceSession, wanted: Sequence[tuple[str, dict[str, str]]], device: Device
) -> None:
    """ONNX Runtime itself goes on with the CPU when a driver or library is missing."""
    missing = [name for name, _ in wanted if name not in session.get_providers()]
    if missing and device != "auto":
        raise EdgeModelError(f"{missing[0]} could not be started; its driver or a library of it is missing")
    for name in missing:
        logger.warning("%s could not be started; running on %s", name, session.get_providers()[0])
