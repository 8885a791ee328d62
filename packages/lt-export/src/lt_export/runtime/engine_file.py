"""A TensorRT engine and the file beside it that says what it is; both are checked before TensorRT sees either.

An engine is native code. It is run only where the file beside it holds its SHA-256, which shows that nobody mixed up,
cut short or half replaced the two. It does not show who wrote them: whoever can write both can write any engine.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from lt_data import TaskSpec, TaskSpecError, atomic_write, is_whole, structure
from lt_export.agreement import LIMITS
from lt_export.errors import EdgeModelError
from lt_export.metadata import DIGITS
from lt_export.runtime.cuda import Gpu
from lt_export.runtime.description import Description
from lt_export.runtime.files import bounded_size, read_bounded
from lt_export.runtime.tensorrt_library import version_numbers

FORMAT = "lt-export/tensorrt-engine"
VERSION = 1

ENDINGS = (".trt", ".engine", ".plan")
"""Of the names of engines; any other file is read as ONNX."""

MAX_ENGINE_BYTES = 16 * 2**30
"""Eight times the largest ONNX file."""
MAX_MANIFEST_BYTES = 64 * 2**20
"""Names and reference scores of a hundred thousand classes take a tenth of it."""

AMPERE = (8, 0)
"""Compute capability from which on hardware-compatible engines run."""


@attrs.frozen
class BatchSizes:
    """Numbers of images that an engine takes at once.

    Attributes:
        smallest: At least 1.
        best: The number it is fastest for.
        largest: At most 2^31 - 1.
    """

    smallest: int
    best: int
    largest: int

    def __attrs_post_init__(self) -> None:
        sizes = (self.smallest, self.best, self.largest)
        if not all(map(is_whole, sizes)) or not 1 <= self.smallest <= self.best <= self.largest < 2**31:
            raise ValueError(
                "expected whole numbers, 1 <= min_batchsize <= opt_batchsize <= max_batchsize < 2^31, "
                f"got {self.smallest!r}, {self.best!r} and {self.largest!r}"
            )

    @property
    def fixed(self) -> bool:
        """Whether there is only one."""
        return self.smallest == self.largest


@attrs.frozen(kw_only=True)
class EngineManifest:
    """What is written beside an engine.

    Attributes:
        description: What the model is, from the ONNX file.
        batch: Numbers of images at once.
        tensorrt: Version that built it, such as `"10.13.3.9"`.
        gpu: That it was built on.
        system: Operating system and processor, such as `"Linux x86_64"`.
        version_compatible: Whether newer versions of TensorRT run it; it then holds code for the processor too.
        hardware_compatible: Whether other GPUs of the Ampere generation or newer run it.
        engine_sha256: Of the engine, hexadecimal.
        engine_bytes: Its size.
        onnx_sha256: Of the ONNX file that it was built from.
    """

    description: Description
    batch: BatchSizes
    tensorrt: str
    gpu: Gpu
    system: str
    version_compatible: bool
    hardware_compatible: bool
    engine_sha256: str
    engine_bytes: int
    onnx_sha256: str

    def to_json(self) -> bytes:
        """Versioned JSON, read back by `read_engine`."""
        scores = self.description.reference_scores
        document = _Document(
            format=FORMAT,
            version=VERSION,
            task_spec=json.loads(self.description.task.to_json()),
            precision=self.description.precision,
            lt_export_version=self.description.version,
            checkpoint_sha256=self.description.checkpoint_sha256,
            reference_scores=[[round(float(score), DIGITS) for score in row] for row in scores],
            min_batchsize=self.batch.smallest,
            opt_batchsize=self.batch.best,
            max_batchsize=self.batch.largest,
            tensorrt_version=self.tensorrt,
            gpu=self.gpu,
            system=self.system,
            version_compatible=self.version_compatible,
            hardware_compatible=self.hardware_compatible,
            engine_sha256=self.engine_sha256,
            engine_bytes=self.engine_bytes,
            onnx_sha256=self.onnx_sha256,
        )
        return (json.dumps(attrs.asdict(document), ensure_ascii=False, indent=1) + "\n").encode()

    def check_runs_on(self, *, tensorrt: str, gpu: Gpu, system: str) -> None:
        """Refuse an engine that TensorRT could only fail on, or worse, not fail on.

        Raises:
            EdgeModelError: It was built by another TensorRT, for another GPU or system, and not to run here too.
        """
        built, found = version_numbers(self.tensorrt), version_numbers(tensorrt)
        if built != found and not (self.version_compatible and built < found):
            wanted = f"{self.tensorrt} or newer" if self.version_compatible else f"exactly {self.tensorrt}"
            raise EdgeModelError(f"it needs TensorRT {wanted}, this is {tensorrt}; build it anew here")
        if system != self.system:
            raise EdgeModelError(f"it was built on {self.system}, this is {system}; build it anew here")
        if self.hardware_compatible:
            if gpu.compute_capability < AMPERE:
                raise EdgeModelError(f"it needs a GPU of the Ampere generation or newer, this is {gpu}")
        elif gpu != self.gpu:
            raise EdgeModelError(
                f"it was built for {self.gpu}, this is {gpu}; build it anew here, or with `hardware_compatible`"
            )


@attrs.frozen
class EngineFile:
    """An engine that passed: it is the one that the file beside it describes.

    Attributes:
        content: All of it.
        manifest: What it is.
    """

    content: bytes = attrs.field(repr=False)
    manifest: EngineManifest


def manifest_path(engine: Path) -> Path:
    """Where the description of an engine lies: `model.trt.json` beside `model.trt`."""
    return engine.with_name(engine.name + ".json")


def this_system() -> str:
    """Operating system and processor; engines do not move between them."""
    return f"{platform.system()} {platform.machine()}"


def sha256(content: bytes) -> str:
    """Hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def read_engine(path: Path) -> EngineFile:
    """Read an engine and what lies beside it; nothing of it is run.

    Raises:
        EdgeModelError: One of the two is missing, too large or damaged, or they do not belong together.
    """
    size = bounded_size(path, MAX_ENGINE_BYTES)
    manifest = _read_manifest(path)
    again = "build it again with build_engine, or describe an engine of your own with describe_engine"
    if size != manifest.engine_bytes:
        raise EdgeModelError(
            f"{path}: has {size} bytes, and {manifest_path(path).name} describes an engine of "
            f"{manifest.engine_bytes}; the two do not belong together: {again}"
        )
    content = read_bounded(path, MAX_ENGINE_BYTES)
    if sha256(content) != manifest.engine_sha256:
        raise EdgeModelError(
            f"{path}: is not the engine that {manifest_path(path).name} describes, its SHA-256 differs: {again}"
        )
    return EngineFile(content, manifest)


def write_engine(path: Path, content: bytes, manifest: EngineManifest) -> None:
    """Write both files; whatever is cut short, what is left is a pair that belongs together or one that is refused."""
    with atomic_write(manifest_path(path)) as description, atomic_write(path) as engine:
        # On the disk before the engine is replaced, so that a full disk leaves the old pair.
        description.write(manifest.to_json())
        description.flush()
        os.fsync(description.fileno())
        engine.write(content)


def _read_manifest(engine: Path) -> EngineManifest:
    path = manifest_path(engine)
    if not path.exists():
        raise EdgeModelError(
            f"{engine}: {path.name} is missing beside it. An engine is native code, so it is run only with the "
            "description that was written with it; describe_engine writes one for an engine that you built yourself"
        )
    text = read_bounded(path, MAX_MANIFEST_BYTES)
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise EdgeModelError(f"{path}: is not JSON: {error}") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise EdgeModelError(f"{path}: does not describe an engine; key `format` must be {FORMAT!r}")
    if content.get("version") != VERSION:
        raise EdgeModelError(
            f"{path}: this lt-export reads version {VERSION}, not {content.get('version')!r}; "
            "install the lt-export that wrote it, or a newer one"
        )
    try:
        return structure(content, _Document, "").manifest()
    # A ConfigError names every key that is wrong; NumPy and attrs raise these too.
    except (ValueError, TypeError, TaskSpecError) as error:
        raise EdgeModelError(f"{path}: {error}") from error


@attrs.frozen(kw_only=True)
class _Document:
    """The JSON of an EngineManifest."""

    format: str
    version: int
    task_spec: dict[str, Any]
    precision: str
    lt_export_version: str
    checkpoint_sha256: str
    reference_scores: Any
    min_batchsize: int
    opt_batchsize: int
    max_batchsize: int
    tensorrt_version: str
    gpu: Gpu
    system: str
    version_compatible: bool
    hardware_compatible: bool
    engine_sha256: str
    engine_bytes: int
    onnx_sha256: str

    def manifest(self) -> EngineManifest:
        task = TaskSpec.from_json(json.dumps(self.task_spec))
        if self.precision not in LIMITS:
            raise ValueError(f"precision must be one of {', '.join(LIMITS)}, got {self.precision!r}")
        # Not by `structure`, which takes a second for tens of thousands of classes.
        scores = np.array(self.reference_scores, dtype=np.float32).reshape(-1, len(task.classes))
        if not np.isfinite(scores).all():
            raise ValueError("reference_scores must be finite")
        return EngineManifest(
            description=Description(
                task=task,
                precision=self.precision,
                includes_preprocessing=False,
                version=self.lt_export_version,
                checkpoint_sha256=self.checkpoint_sha256,
                reference_scores=scores,
            ),
            batch=BatchSizes(self.min_batchsize, self.opt_batchsize, self.max_batchsize),
            tensorrt=self.tensorrt_version,
            gpu=self.gpu,
            system=self.system,
            version_compatible=self.version_compatible,
            hardware_compatible=self.hardware_compatible,
            engine_sha256=self.engine_sha256,
            engine_bytes=self.engine_bytes,
            onnx_sha256=self.onnx_sha256,
        )
