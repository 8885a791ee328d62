"""Stands for TensorRT 10: networks are weakly typed unless the flag says otherwise, and precisions have flags."""

from __future__ import annotations

import enum

VERSION = "10.13.3.9"


class BuilderFlag(enum.IntEnum):
    FP16 = 0
    INT8 = 1
    TF32 = 6
    VERSION_COMPATIBLE = 13


class NetworkDefinitionCreationFlag(enum.IntEnum):
    EXPLICIT_BATCH = 0
    STRONGLY_TYPED = 1


ONLY_HERE = {"builder": {"platform_has_fast_fp16": True}}
