# ruff: noqa: N801, N802, N815, N816
"""Stands for `cuda.bindings.runtime`: device memory is memory of this process, and a stream runs when it is waited for.

Every copy is checked against what was allocated, so that work that nobody waits for, or that goes beyond its memory, is
seen.
"""

from __future__ import annotations

import ctypes
import enum
import types

cudaStreamNonBlocking = 1


class cudaError_t(enum.IntEnum):
    cudaSuccess = 0
    cudaErrorMemoryAllocation = 2
    cudaErrorInsufficientDriver = 35
    cudaErrorNoDevice = 100


class cudaMemcpyKind(enum.IntEnum):
    cudaMemcpyHostToDevice = 1
    cudaMemcpyDeviceToHost = 2


class State:
    """What a test sets and looks at."""

    def __init__(self):
        self.devices = [("NVIDIA Fake", 8, 9), ("NVIDIA Other Fake", 8, 9)]
        self.device = 0
        self.memory = {}
        self.streams = {}
        self.devices_of_streams = {}
        self.free_bytes = 2**30
        self.driver = cudaError_t.cudaSuccess


state = State()


def cudaGetDeviceCount():
    return (state.driver, len(state.devices) if state.driver == cudaError_t.cudaSuccess else None)


def cudaGetDevice():
    return (cudaError_t.cudaSuccess, state.device)


def cudaSetDevice(device):
    assert 0 <= device < len(state.devices)
    state.device = device
    return (cudaError_t.cudaSuccess,)


def cudaGetDeviceProperties(device):
    name, major, minor = state.devices[device]
    properties = types.SimpleNamespace(name=name.encode().ljust(256, b"\0"), major=major, minor=minor)
    return (cudaError_t.cudaSuccess, properties)


def cudaGetErrorString(error):
    return (cudaError_t.cudaSuccess, error.name.encode())


def cudaMalloc(size):
    if sum(len(block) for block in state.memory.values()) + size > state.free_bytes:
        return (cudaError_t.cudaErrorMemoryAllocation, None)
    block = ctypes.create_string_buffer(size)
    state.memory[ctypes.addressof(block)] = block
    return (cudaError_t.cudaSuccess, ctypes.addressof(block))


def cudaFree(address):
    del state.memory[address]
    return (cudaError_t.cudaSuccess,)


def cudaStreamCreateWithFlags(flags):
    assert flags == cudaStreamNonBlocking
    handle = max(state.streams, default=1000) + 1
    state.streams[handle] = []
    state.devices_of_streams[handle] = state.device
    return (cudaError_t.cudaSuccess, handle)


def cudaStreamDestroy(stream):
    assert not state.streams.pop(stream), "a stream was destroyed that somebody should have waited for"
    return (cudaError_t.cudaSuccess,)


def cudaMemcpyAsync(target, source, count, kind, stream):
    assert state.devices_of_streams[stream] == state.device, "the stream is one of another GPU"
    device = target if kind == cudaMemcpyKind.cudaMemcpyHostToDevice else source
    block = state.memory[device]

    def copy():
        assert count <= len(block), "a copy goes beyond its memory"
        ctypes.memmove(target, source, count)

    state.streams[stream].append(copy)
    return (cudaError_t.cudaSuccess,)


def cudaStreamSynchronize(stream):
    waiting = state.streams[stream]
    while waiting:
        waiting.pop(0)()
    return (cudaError_t.cudaSuccess,)
