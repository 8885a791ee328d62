"""Looks into an ONNX file before anything runs it: what is foreign, too large or outside the file is refused.

An ONNX file is a protobuf message; field numbers are those of onnx.proto (ONNX IR version 13). Only what matters
here is read, without the `onnx` package, which a device does not have.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs

from lt_export.errors import EdgeModelError
from lt_export.runtime.files import read_bounded

MAX_BYTES = 2 * 2**30 - 1
"""Protobuf's own limit for a message."""
ZIP = b"PK"
"""How PyTorch's files begin."""
MAX_ELEMENTS = 2**31
"""Of one tensor: more than any weight of a model below `MAX_BYTES` in 8 bits, and 8 GiB in float32."""
MAX_DEPTH = 16
"""Of graphs inside of nodes of graphs; ours have none."""
DOMAINS = frozenset({"", "ai.onnx", "com.microsoft"})
"""Operator sets of ONNX and of ONNX Runtime. Another one would need a library of somebody's."""

EXTERNAL = 1
"""TensorProto.data_location: the data lies in another file, at a path that this one names."""
DATA_FIELDS = {4: 4, 5: 4, 7: 8, 9: 1, 10: 8, 11: 8}
"""Fields of a TensorProto that hold its data."""
BITS: Mapping[int, int] = {
    **dict.fromkeys((1, 6, 12), 32),
    **dict.fromkeys((2, 3, 9, 17, 18, 19, 20, 24), 8),
    **dict.fromkeys((4, 5, 10, 16), 16),
    **dict.fromkeys((7, 11, 13, 14), 64),
    15: 128,
    **dict.fromkeys((21, 22, 23), 4),
    **dict.fromkeys((25, 26), 2),
}
"""Of an element, by TensorProto.DataType; strings have none."""
STRING = 8

Field = tuple[int, "int | memoryview"]


@attrs.frozen
class OnnxFile:
    """A file that passed.

    Attributes:
        content: All of it.
        metadata: Its `metadata_props`.
    """

    content: bytes = attrs.field(repr=False)
    metadata: Mapping[str, str]


def read_onnx(path: Path) -> OnnxFile:
    """Read and check a file; nothing in it is run, and no other file is opened.

    Raises:
        EdgeModelError: It cannot be read, is above 2 GiB, is no ONNX model, names data in other files, has a tensor
            whose shape is not that of its data or is above 2^31 elements, or uses operators of somebody's own.
    """
    content = read_bounded(path, MAX_BYTES)
    if content[:2] == ZIP:
        raise EdgeModelError(
            f"{path}: is a file of PyTorch, not an ONNX model; `lightly-train export-onnx` makes one of it"
        )
    try:
        return OnnxFile(content, _check_model(memoryview(content)))
    except EdgeModelError as error:
        raise EdgeModelError(f"{path}: {error}") from error
    except (ValueError, IndexError) as error:
        raise EdgeModelError(f"{path}: is not an ONNX model: {error}") from error


def fixed_batch(content: bytes, input_name: str) -> int | None:
    """The first dimension of an input of a file that passed, None where it is free."""
    for graph in _messages(memoryview(content), 7):
        for value in _messages(graph, 11):
            if _text(_only(value, 1)) == input_name:
                return _first_size(value)
    return None


def _first_size(value: memoryview) -> int | None:
    for kind in _messages(value, 2):
        for tensor in _messages(kind, 1):
            for shape in _messages(tensor, 2):
                for dim in _messages(shape, 1):
                    size = _only(dim, 1)
                    return size if isinstance(size, int) and size else None
    return None


def _check_model(model: memoryview) -> Mapping[str, str]:
    metadata: dict[str, str] = {}
    graphs = 0
    for number, value in _fields(model):
        if number == 7:
            graphs += 1
            _check_graph(_bytes(value), MAX_DEPTH)
        elif number == 8:
            _check_domain(_text(_only(_bytes(value), 1)))
        elif number == 14:
            entry = dict(_fields(_bytes(value)))
            metadata[_text(entry.get(1))] = _text(entry.get(2))
        elif number in (20, 25):
            raise EdgeModelError("holds functions or training steps; exported models have none")
    if graphs != 1:
        raise ValueError(f"it has {graphs} graphs")
    return metadata


def _check_graph(graph: memoryview, depth: int) -> None:
    if not depth:
        raise EdgeModelError(f"its graphs are nested more than {MAX_DEPTH} deep")
    for number, value in _fields(graph):
        if number == 1:
            _check_node(_bytes(value), depth)
        elif number == 5:
            _check_tensor(_bytes(value))
        elif number == 15:
            raise EdgeModelError("holds sparse tensors; exported models have none")
        elif number in (11, 12, 13):
            _check_value(_bytes(value))


def _check_node(node: memoryview, depth: int) -> None:
    for number, value in _fields(node):
        if number == 7:
            _check_domain(_text(value))
        elif number == 5:
            for inner, content in _fields(_bytes(value)):
                if inner in (5, 10):
                    _check_tensor(_bytes(content))
                elif inner in (6, 11):
                    _check_graph(_bytes(content), depth - 1)
                elif inner in (22, 23):
                    raise EdgeModelError("holds sparse tensors; exported models have none")


def _check_domain(domain: str) -> None:
    if domain not in DOMAINS:
        raise EdgeModelError(f"uses operators of {domain!r}, which neither ONNX nor ONNX Runtime has")


def _check_value(value: memoryview) -> None:
    """Shapes of inputs, outputs and what is between: ValueInfoProto.type.tensor_type.shape.dim.dim_value."""
    for kind in _messages(value, 2):
        for tensor in _messages(kind, 1):
            for shape in _messages(tensor, 2):
                dims = [_only(dim, 1) for dim in _messages(shape, 1)]
                sizes = [_signed(size) for size in dims if isinstance(size, int)]
                _check_size(sizes, "a value")


def _check_tensor(tensor: memoryview) -> None:
    sizes: list[int] = []
    kind, held, name = 0, 0, ""
    for number, value in _fields(tensor):
        if number == 1:
            sizes += [value] if isinstance(value, int) else list(_varints(value))
        elif number == 2 and isinstance(value, int):
            kind = value
        elif number == 8:
            name = _text(value)
        elif number == 13 or (number == 14 and value == EXTERNAL):
            raise EdgeModelError("keeps weights in other files; a model of ours is one file")
        elif number == 9:
            held += len(_bytes(value))
        elif number in DATA_FIELDS or number == 6:
            held = -1
    sizes = [_signed(size) for size in sizes]
    _check_size(sizes, f"tensor {name!r}")
    if kind == STRING:
        return
    if kind not in BITS:
        raise EdgeModelError(f"tensor {name!r} has the unknown type {kind}")
    expected = (math.prod(sizes) * BITS[kind] + 7) // 8
    # Data in fields of their type (small constants) has a length that ONNX Runtime compares by itself.
    if held >= 0 and held != expected:
        raise EdgeModelError(f"tensor {name!r} of shape {sizes} should have {expected} bytes and has {held}")


def _check_size(sizes: list[int], what: str) -> None:
    if any(size < 0 for size in sizes) or math.prod(sizes) > MAX_ELEMENTS:
        raise EdgeModelError(f"{what} has the shape {sizes}; at most {MAX_ELEMENTS} elements are allowed")


def _fields(message: memoryview) -> Iterator[Field]:
    """Fields of a message in order: numbers for the wire types 0, 1 and 5, bytes for 2."""
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        number, kind = key >> 3, key & 7
        if not number:
            raise ValueError("a field has the number 0")
        if kind == 0:
            value, place = _varint(message, place)
            yield number, value
        elif kind in (1, 5):
            end = place + (8 if kind == 1 else 4)
            if end > len(message):
                raise ValueError("it ends in the middle of a field")
            yield number, int.from_bytes(message[place:end], "little")
            place = end
        elif kind == 2:
            length, place = _varint(message, place)
            if length > len(message) - place:
                raise ValueError("it ends in the middle of a field")
            yield number, message[place : place + length]
            place += length
        else:
            raise ValueError(f"a field has the wire type {kind}")


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if place >= len(message):
            raise ValueError("it ends in the middle of a number")
        byte = message[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, place
    raise ValueError("a number is too long")


def _varints(packed: memoryview) -> Iterator[int]:
    place = 0
    while place < len(packed):
        value, place = _varint(packed, place)
        yield value


def _signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value


def _messages(message: memoryview, number: int) -> Iterator[memoryview]:
    return (_bytes(value) for found, value in _fields(message) if found == number)


def _only(message: memoryview, number: int) -> int | memoryview | None:
    return dict(_fields(message)).get(number)


def _bytes(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError("a number stands where a message should be")
    return value


def _text(value: int | memoryview | None) -> str:
    return "" if value is None else bytes(_bytes(value)).decode("utf-8")
