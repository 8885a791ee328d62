r"""Write the lists of TensorRT's names that our code is checked against.

They are facts read from two packages of PyPI, of which no code is run; the libraries that these need are not on PyPI:

    pip download --no-deps --dest WHEELS tensorrt-stubs==10.13.0.35.1
    pip download --no-deps --python-version 3.11 --platform manylinux_2_28_x86_64 --only-binary :all: --dest WHEELS \
        tensorrt-cu13-bindings==11.4.0.106
    python tools/tensorrt_names.py WHEELS packages/lt-export/tests/tensorrt

From the stubs of 10.13 every class, function and attribute that they define is taken.

From the binding of 11.4 every identifier among the constants of its shared library is taken, where pybind11 keeps the
names that it gives to Python. The linker keeps a name that another one ends in only there (`ERROR` in
`INTERNAL_ERROR`), so names of the stubs that a constant ends in count as well. The list holds more than the binding
defines, such as names of arguments, and lacks nothing that it defines: a name that is not on it does not exist. One
that is may belong to something else than our code thinks, which mypy and the stubs have to tell.
"""

from __future__ import annotations

import argparse
import ast
import re
import struct
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from tensorrt_stubs import mended

IDENTIFIER = re.compile(rb"[A-Za-z_][A-Za-z0-9_]*")
MANGLED = re.compile(r"_Z|N\d|(P|S|N|F).*(nvinfer1|pybind11|nvonnxparser|tensorrt|St\d).*E$|P?F[a-z]\w*E$")
"""Names of C++ types, which the compiler puts between the others."""


def names_of_stubs(wheel: zipfile.ZipFile) -> set[str]:
    """What the stubs define."""
    names: set[str] = set()
    for member in ("tensorrt/__init__.pyi", "tensorrt_bindings/tensorrt.pyi"):
        names.update(_defined(ast.parse(mended(wheel.read(member).decode()))))
    return names


def names_of_binding(wheel: zipfile.ZipFile, older: set[str]) -> set[str]:
    """What the binding's constants hold, whole or, for the names of an `older` version, as their ends.

    The Python file beside it counts too.
    """
    constants = read_only_data(wheel.read("tensorrt_bindings/tensorrt.so"))
    found = {text.decode() for text in constants.split(b"\0") if IDENTIFIER.fullmatch(text)}
    ends = {name for name in older if name.encode() + b"\0" in constants}
    package = ast.parse(wheel.read("tensorrt_bindings/__init__.py").decode())
    return {name for name in found if not MANGLED.match(name)} | ends | set(_defined(package))


def read_only_data(library: bytes) -> bytes:
    """The section `.rodata` of a 64-bit little-endian ELF file."""
    (table,) = struct.unpack_from("<Q", library, 0x28)
    size, count, names_index = struct.unpack_from("<HHH", library, 0x3A)
    sections = [struct.unpack_from("<IIQQQQ", library, table + number * size) for number in range(count)]
    names = sections[names_index][4]
    for name, _, _, _, offset, length in sections:
        start = names + name
        if library[start : library.index(b"\0", start)] == b".rodata":
            return library[offset : offset + length]
    raise ValueError("the library has no section .rodata")


def _defined(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.ImportFrom):
            yield from (alias.asname or alias.name for alias in node.names)


def _write(path: Path, source: str, names: set[str]) -> None:
    head = f"# Names in {source}; written by tools/tensorrt_names.py.\n"
    path.write_text(head + "".join(f"{name}\n" for name in sorted(names)), encoding="utf-8")


def main() -> None:
    """Read the two wheels and write the two lists."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("wheels", type=Path, help="folder with the two wheels")
    parser.add_argument("out", type=Path, help="folder for the lists")
    arguments = parser.parse_args()
    (stubs,) = arguments.wheels.glob("tensorrt_stubs-10.13.*.whl")
    (binding,) = arguments.wheels.glob("tensorrt_cu13_bindings-11.4.*.whl")
    with zipfile.ZipFile(stubs) as wheel:
        older = names_of_stubs(wheel)
    with zipfile.ZipFile(binding) as wheel:
        newer = names_of_binding(wheel, older)
    _write(arguments.out / "names_10_13.txt", "tensorrt-stubs 10.13", older)
    _write(arguments.out / "names_11_4.txt", "tensorrt-cu13-bindings 11.4", newer)


if __name__ == "__main__":
    main()
