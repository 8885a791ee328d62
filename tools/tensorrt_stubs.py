"""Make the type stubs of TensorRT readable for mypy.

`tensorrt-stubs` 10.13.0.35.1 holds five lines that are no Python: parameters named `in`, and one without a default
behind ones with. Mypy stops at them. And a data type of TensorRT is called `bool`, so no function seems to return
Python's. This writes a mended copy, for MYPYPATH:

    pip install --no-deps tensorrt-stubs==10.13.0.35.1
    python tools/tensorrt_stubs.py FOLDER
    MYPYPATH=FOLDER mypy

`--no-deps`, since the package asks for TensorRT itself, whose libraries are not on PyPI.
"""

from __future__ import annotations

import argparse
import ast
import sysconfig
from pathlib import Path

PACKAGES = ("tensorrt", "tensorrt_bindings")
MENDED = {
    ", in: ": ", in_: ",
    "channel_axis: int) -> IScaleLayer": "channel_axis: int = ...) -> IScaleLayer",
    "-> bool:": "-> builtins.bool:",
    ": bool": ": builtins.bool",
    "from __future__ import annotations\n": "from __future__ import annotations\nimport builtins\n",
}


def mended(text: str) -> str:
    """A stub file that is Python.

    Raises:
        SyntaxError: It is damaged in a way that is not known here.
    """
    for wrong, right in MENDED.items():
        text = text.replace(wrong, right)
    ast.parse(text)
    return text


def mend(stubs: Path, out: Path) -> None:
    """Write mended copies of the stub packages in `stubs`, such as a `site-packages`, to `out`."""
    for package in PACKAGES:
        folder = out / package
        folder.mkdir(parents=True, exist_ok=True)
        for stub in (stubs / package).glob("*.pyi"):
            (folder / stub.name).write_text(mended(stub.read_text(encoding="utf-8")), encoding="utf-8")


def main() -> None:
    """Mend the stubs of this environment."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path, help="folder for the copy")
    parser.add_argument("--stubs", type=Path, default=Path(sysconfig.get_path("purelib")), help="where they are")
    arguments = parser.parse_args()
    mend(arguments.stubs, arguments.out)


if __name__ == "__main__":
    main()
