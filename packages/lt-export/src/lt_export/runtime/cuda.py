"""Device memory and streams of CUDA, through NVIDIA's own cuda-bindings: an edge device has no PyTorch for it."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from lt_export.errors import EdgeModelError


@attrs.frozen
class Gpu:
    """A GPU.

    Attributes:
        name: As NVIDIA's driver gives it, such as `"NVIDIA L4"`.
        compute_capability: Major and minor version.
    """

    name: str
    compute_capability: tuple[int, int]

    def __str__(self) -> str:
        return f"{self.name} (compute capability {self.compute_capability[0]}.{self.compute_capability[1]})"


def what_is_missing() -> str | None:
    """Why CUDA cannot be used here, None where it can."""
    try:
        from cuda.bindings import runtime
    except ImportError as failure:
        return f'cuda-bindings is not installed ({failure}): pip install "lt-export[tensorrt]"'
    try:
        error, count = runtime.cudaGetDeviceCount()
    # Older cuda-bindings raise it where there is no driver.
    except RuntimeError as failure:
        return f"no GPU can be used: {failure}"
    if error == runtime.cudaError_t.cudaErrorInsufficientDriver:
        return (
            "no GPU can be used: NVIDIA's driver is missing, or older than cuda-bindings needs; for a driver of "
            'CUDA 12: pip install "cuda-bindings<13"'
        )
    if error != runtime.cudaError_t.cudaSuccess or not count:
        return f"no GPU can be used: {_reason(error)}"
    return None


def current_gpu() -> Gpu:
    """The GPU that this thread uses."""
    from cuda.bindings import runtime

    properties = _call(runtime.cudaGetDeviceProperties, current_device())
    name = bytes(properties.name).rstrip(b"\0").decode("utf-8", "replace")
    return Gpu(name, (int(properties.major), int(properties.minor)))


def current_device() -> int:
    """Its number."""
    from cuda.bindings import runtime

    return int(_call(runtime.cudaGetDevice))


@contextlib.contextmanager
def using_device(device: int) -> Iterator[None]:
    """Let this thread use a GPU; afterwards it uses the one it did."""
    from cuda.bindings import runtime

    before = current_device()
    if before == device:
        yield
        return
    _call(runtime.cudaSetDevice, device)
    try:
        yield
    finally:
        _call(runtime.cudaSetDevice, before)


@attrs.frozen(eq=False)
class Lane:
    """Memory and a stream on one GPU, released with this object.

    Attributes:
        device: The GPU's number.
        addresses: Of the memory.
        stream: Handle; does not wait for the default stream.
    """

    device: int
    addresses: tuple[int, ...]
    stream: int

    def __attrs_post_init__(self) -> None:
        weakref.finalize(self, _release, self.addresses, self.stream)


def open_lane(*sizes: int) -> Lane:
    """Memory of these sizes in bytes, on the GPU that this thread uses.

    Raises:
        EdgeModelError: There is not so much.
    """
    from cuda.bindings import runtime

    stream = int(_call(runtime.cudaStreamCreateWithFlags, runtime.cudaStreamNonBlocking))
    addresses: list[int] = []
    try:
        for size in sizes:
            addresses += [int(_call(runtime.cudaMalloc, size))]
        return Lane(current_device(), tuple(addresses), stream)
    except EdgeModelError:
        _release(tuple(addresses), stream)
        raise


def _release(addresses: tuple[int, ...], stream: int) -> None:
    """Failures are passed over: it runs when a process ends too."""
    from cuda.bindings import runtime

    for address in addresses:
        runtime.cudaFree(address)
    runtime.cudaStreamDestroy(stream)


def copy_to_device(address: int, values: npt.NDArray[np.float32], stream: int) -> None:
    """Begin to copy a contiguous array; it must live until the stream is done."""
    from cuda.bindings import runtime

    kind = runtime.cudaMemcpyKind.cudaMemcpyHostToDevice
    _call(runtime.cudaMemcpyAsync, address, values.ctypes.data, values.nbytes, kind, stream)


def copy_to_host(values: npt.NDArray[np.float32], address: int, stream: int) -> None:
    """Begin to fill a contiguous array; it is full when the stream is done."""
    from cuda.bindings import runtime

    kind = runtime.cudaMemcpyKind.cudaMemcpyDeviceToHost
    _call(runtime.cudaMemcpyAsync, values.ctypes.data, address, values.nbytes, kind, stream)


def wait(stream: int) -> None:
    """Wait until the stream is done."""
    from cuda.bindings import runtime

    _call(runtime.cudaStreamSynchronize, stream)


def _call(function: Callable[..., Any], *arguments: Any) -> Any:
    """The value that a function of CUDA returns behind its error."""
    from cuda.bindings import runtime

    error, *values = function(*arguments)
    if error != runtime.cudaError_t.cudaSuccess:
        raise EdgeModelError(f"CUDA failed in {function.__name__}: {_reason(error)}")
    return values[0] if values else None


def _reason(error: Any) -> str:
    from cuda.bindings import runtime

    _, text = runtime.cudaGetErrorString(error)
    return f"{text.decode('utf-8', 'replace')} (error {int(error)})"
