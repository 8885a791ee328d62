"""What an exported model says about itself."""

from __future__ import annotations

import hashlib

import attrs
import numpy as np
import numpy.typing as npt

from lt_data import TaskSpec


@attrs.frozen(kw_only=True)
class Description:
    """Read from an ONNX file's metadata, or from the file beside a TensorRT engine.

    Attributes:
        task: Task, classes and preprocessing.
        precision: Of the weights: fp32, fp16 or int8.
        includes_preprocessing: Whether the model takes uint8 images of any size.
        version: Of lt-export that wrote the file.
        checkpoint_sha256: Of the file that the model was loaded from, empty when it is not known.
        reference_scores: What the PyTorch model gives to `probe_images`, float32 of shape (P, classes).
    """

    task: TaskSpec
    precision: str
    includes_preprocessing: bool
    version: str
    checkpoint_sha256: str
    reference_scores: npt.NDArray[np.float32] = attrs.field(repr=False, eq=attrs.cmp_using(eq=np.array_equal))

    @property
    def fingerprint(self) -> str:
        """SHA-256, in hexadecimal digits, of what the model is and of the scores that it gives."""
        digest = hashlib.sha256(self.task.to_json().encode())
        digest.update(f"{self.precision} {self.checkpoint_sha256}".encode())
        digest.update(np.ascontiguousarray(self.reference_scores).tobytes())
        return digest.hexdigest()
