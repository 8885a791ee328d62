"""What the facade's calls return, from the packages that make it."""

from __future__ import annotations

from lt_export import OnnxExport, TensorRTExport
from lt_train import TrainResult

__all__ = ["OnnxExport", "TensorRTExport", "TrainResult"]
