"""What the fakes of TensorRT 10 and 11 share. An engine of theirs is the ONNX file behind a line of JSON.

`fill(module, ...)` puts into a module what both versions offer. ONNX Runtime runs the engine, on the fake CUDA stream.
"""

from __future__ import annotations

import ctypes
import enum
import json

import numpy as np
import onnxruntime

MAGIC = b"fake engine "


class Severity(enum.IntEnum):
    INTERNAL_ERROR = 0
    ERROR = 1
    WARNING = 2
    INFO = 3
    VERBOSE = 4


class ILogger:
    Severity = Severity


class DataType(enum.IntEnum):
    FLOAT = 0
    HALF = 1


class TensorIOMode(enum.IntEnum):
    NONE = 0
    INPUT = 1
    OUTPUT = 2


class MemoryPoolType(enum.IntEnum):
    WORKSPACE = 0


class HardwareCompatibilityLevel(enum.IntEnum):
    NONE = 0
    AMPERE_PLUS = 1
    SAME_COMPUTE_CAPABILITY = 2


class Dims:
    def __init__(self, shape):
        assert isinstance(shape, list)
        self._shape = tuple(shape)

    def __len__(self):
        return len(self._shape)

    def __getitem__(self, place):
        return self._shape[place]


class IHostMemory(bytearray):
    pass


def session_of(content):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(bytes(content), options, providers=["CPUExecutionProvider"])


class INetworkDefinition:
    def __init__(self, flags):
        self._flags, self._content = flags, None


class OnnxParser:
    def __init__(self, network, logger):
        assert isinstance(logger, ILogger)
        self._network, self._errors = network, []

    def parse(self, model):
        try:
            session_of(model)
        except Exception as error:
            self._errors.append(f"fake parser: {error}")
            return False
        self._network._content = bytes(model)
        return True

    @property
    def num_errors(self):
        return len(self._errors)

    def get_error(self, index):
        return self._errors[index]


class IOptimizationProfile:
    def set_shape(self, input, min, opt, max):
        assert all(isinstance(shape, Dims) for shape in (min, opt, max))
        self._input, self._shapes = input, [shape[:] for shape in (min, opt, max)]


class ITimingCache:
    def __init__(self, key, measured):
        self._key, self._measured = key, measured

    def serialize(self):
        return IHostMemory(json.dumps({"key": self._key, "measured": self._measured}).encode())


class IBuilderConfig:
    def __init__(self, key, flags):
        self._key, self._flags, self._profiles, self._pools = key, flags, [], {}
        self._cache = ITimingCache(key, 0)
        self.hardware_compatibility_level = HardwareCompatibilityLevel.NONE

    def set_flag(self, flag):
        self._flags.add(flag)

    def clear_flag(self, flag):
        self._flags.discard(flag)

    def set_memory_pool_limit(self, pool, pool_size):
        self._pools[pool.name] = pool_size

    def add_optimization_profile(self, profile):
        self._profiles.append(profile)
        return len(self._profiles) - 1

    def create_timing_cache(self, serialized_timing_cache):
        if not serialized_timing_cache:
            return ITimingCache(self._key, 0)
        try:
            held = json.loads(bytes(serialized_timing_cache))
        except ValueError:
            return None
        return ITimingCache(held["key"], held["measured"])

    def set_timing_cache(self, cache, ignore_mismatch):
        if cache._key != self._key and not ignore_mismatch:
            return False
        self._cache = cache
        return True

    def get_timing_cache(self):
        return self._cache


class IExecutionContext:
    def __init__(self, cuda, session, header):
        self._cuda, self._session, self._header = cuda, session, header
        self._shape, self._addresses, self._running = None, {}, False

    def set_input_shape(self, name, shape):
        least, _, most = self._header["profile"]
        fits = len(shape) == len(least) and all(a <= b <= c for a, b, c in zip(least, shape, most, strict=True))
        self._shape = tuple(shape) if fits and name == "images" else None
        return self._shape is not None

    def set_tensor_address(self, name, memory):
        self._addresses[name] = memory
        return memory in self._cuda.state.memory

    def execute_async_v3(self, stream_handle):
        assert not self._running, "two threads use one context"
        self._running = True
        self._cuda.state.streams[stream_handle].append(self._execute)
        return True

    def _execute(self):
        given, taken = (self._cuda.state.memory[self._addresses[name]] for name in ("images", "scores"))
        count = int(np.prod(self._shape))
        assert count * 4 <= len(given)
        images = np.frombuffer(given, np.float32, count).reshape(self._shape)
        (scores,) = self._session.run(["scores"], {"images": images})
        assert scores.nbytes <= len(taken)
        ctypes.memmove(self._addresses["scores"], scores.ctypes.data, scores.nbytes)
        self._running = False


class ICudaEngine:
    def __init__(self, cuda, header, content):
        self._cuda, self._header, self._session = cuda, header, session_of(content)
        self._values = {value.name: value for value in (*self._session.get_inputs(), *self._session.get_outputs())}

    @property
    def num_io_tensors(self):
        return len(self._values)

    @property
    def hardware_compatibility_level(self):
        return HardwareCompatibilityLevel[self._header["hardware"]]

    def get_tensor_name(self, index):
        return list(self._values)[index]

    def get_tensor_mode(self, name):
        given = {value.name for value in self._session.get_inputs()}
        return TensorIOMode.INPUT if name in given else TensorIOMode.OUTPUT

    def get_tensor_dtype(self, name):
        return DataType.FLOAT if self._values[name].type == "tensor(float)" else DataType.HALF

    def get_tensor_shape(self, name):
        return Dims([size if isinstance(size, int) else -1 for size in self._values[name].shape])

    def get_tensor_profile_shape(self, name, profile_index):
        assert (name, profile_index) == ("images", 0)
        return [Dims(shape) for shape in self._header["profile"]]

    def create_execution_context(self):
        return IExecutionContext(self._cuda, self._session, self._header)


class Builder:
    """`fill` says of which version and on which GPU."""

    def __init__(self, logger):
        assert isinstance(logger, ILogger)
        self._logger = logger

    def create_network(self, flags=0):
        assert flags < 1 << (max(self._network_flags) + 1)
        return INetworkDefinition(flags)

    def create_builder_config(self):
        return IBuilderConfig([self._version, self._gpu], {self._builder_flags.TF32})

    def create_optimization_profile(self):
        return IOptimizationProfile()

    def build_serialized_network(self, network, config):
        (value,) = session_of(network._content).get_inputs()
        fixed = isinstance(value.shape[0], int)
        if fixed == bool(config._profiles) or config._pools.get("WORKSPACE", 2**30) < 2**20 + 1:
            self._logger.log(Severity.ERROR, "fake builder: no implementation fits")
            return None
        config._cache._measured += 1
        header = {
            "version": self._version,
            "profile": [value.shape] * 3 if fixed else config._profiles[0]._shapes,
            "hardware": config.hardware_compatibility_level.name,
            "builder_flags": sorted(flag.name for flag in config._flags),
            "network_flags": [flag.name for flag in self._network_flags if network._flags >> flag & 1],
            "pools": config._pools,
        }
        return IHostMemory(MAGIC + json.dumps(header).encode() + b"\n" + network._content)


class Runtime:
    """`fill` says of which version and on which GPU."""

    deserialized = 0

    def __init__(self, logger):
        assert isinstance(logger, ILogger)
        self._logger = logger
        self.engine_host_code_allowed = False

    def deserialize_cuda_engine(self, serialized_engine):
        Runtime.deserialized += 1
        content = bytes(serialized_engine)
        if not content.startswith(MAGIC):
            return self._refuse("magic tag does not match")
        line, model = content[len(MAGIC) :].split(b"\n", 1)
        header = json.loads(line)
        if "VERSION_COMPATIBLE" in header["builder_flags"]:
            if not self.engine_host_code_allowed:
                return self._refuse("the engine holds host code")
        elif header["version"].split(".post")[0] != self._version.split(".post")[0]:
            return self._refuse("the version differs")
        return ICudaEngine(self._cuda, header, model)

    def _refuse(self, reason):
        self._logger.log(Severity.ERROR, f"fake runtime: {reason}")


OFFERED = (
    *(Builder, Runtime, ILogger, DataType, TensorIOMode, MemoryPoolType, HardwareCompatibilityLevel, Dims),
    *(IHostMemory, INetworkDefinition, OnnxParser, IOptimizationProfile, ITimingCache, IBuilderConfig),
    *(IExecutionContext, ICudaEngine),
)


def fill(module, cuda, *, version, builder_flags, network_flags, builder=None, **only_here):
    """Put what both versions offer, and what only this one does, into `module`; each test loads these classes anew."""
    Builder._version = Runtime._version = version
    Builder._gpu, Runtime._cuda = str(cuda.state.devices[0]), cuda
    Builder._builder_flags, Builder._network_flags = builder_flags, network_flags
    for name, value in (builder or {}).items():
        setattr(Builder, name, value)
    module.__version__ = version
    module.BuilderFlag = builder_flags
    module.NetworkDefinitionCreationFlag = network_flags
    for kind in OFFERED:
        setattr(module, kind.__name__, kind)
    for name, value in only_here.items():
        setattr(module, name, value)
