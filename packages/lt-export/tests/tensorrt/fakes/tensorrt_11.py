"""Stands for TensorRT 11: networks are always strongly typed; what chose precisions is gone."""

from __future__ import annotations

import enum

VERSION = "11.4.0.106"


class BuilderFlag(enum.IntEnum):
    TF32 = 6
    VERSION_COMPATIBLE = 13


class NetworkDefinitionCreationFlag(enum.IntEnum):
    STRONGLY_TYPED = 0


ONLY_HERE = {}
