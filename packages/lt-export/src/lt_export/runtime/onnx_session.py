"""ONNX Runtime, set for one image at a time on a machine that does other things too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lt_export.errors import EdgeModelError, MissingPackageError

if TYPE_CHECKING:
    import onnxruntime


def open_session(content: bytes, *, num_threads: int | None) -> onnxruntime.InferenceSession:
    """A session for a model in memory, on the CPU.

    Args:
        content: The serialised model.
        num_threads: Threads of one operator; None takes one for each core.

    Raises:
        EdgeModelError: ONNX Runtime cannot read the model.
        MissingPackageError: onnxruntime is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingPackageError("onnxruntime", "onnxruntime", "running an ONNX file") from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if num_threads is not None:
        options.intra_op_num_threads = num_threads
    # Idle threads must not keep cores busy between predictions.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    # ONNX Runtime's exceptions share no base class but this.
    except Exception as error:
        raise EdgeModelError(f"ONNX Runtime cannot read the model: {error}") from error
