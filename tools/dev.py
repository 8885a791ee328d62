"""Run one of the project's sessions on a machine that has nothing but Python 3.10 or newer.

    python3 tools/dev.py quickstart    train, predict, export and run the main example
    python3 tools/dev.py examples      the other examples; `examples dicom` runs one
    python3 tools/dev.py test          every check and test: each package's own, then the cross-package ones
    python3 tools/dev.py SESSION ...   any session of noxfile.py, such as lint; further arguments go to it

An environment of its own is made in `.dev/` (nox and uv, at the versions of constraints.txt) and used again later.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".dev"
CONSTRAINTS = ROOT / "constraints.txt"
TOOLS = ("nox", "uv")
ALL = "test"
"""Stands for every session that CI runs: those with this tag."""


def main(arguments: list[str]) -> int:
    """Run nox with `arguments`; returns its exit status."""
    if sys.version_info < (3, 10):  # noqa: UP036  # whoever starts this may have an older one
        print(f"Python 3.10 or newer is needed, this is {sys.version.split()[0]}", file=sys.stderr)
        return 2
    if not arguments or arguments[0] in ("-h", "--help"):
        print(__doc__)
        return 0 if arguments else 2
    scripts = bootstrap()
    session, *rest = arguments
    selection = ["--tags", ALL] if session == ALL else ["--session", session]
    environment = {**os.environ, "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}"}
    environment.pop("VIRTUAL_ENV", None)
    command = [str(scripts / "nox"), "--noxfile", str(ROOT / "noxfile.py"), *selection, "--", *rest]
    return subprocess.run(command, env=environment, check=False).returncode


def bootstrap() -> Path:
    """The folder of nox and uv, installed when they are missing or their versions changed."""
    wanted = [line for line in CONSTRAINTS.read_text().splitlines() if line.split("==")[0] in TOOLS]
    scripts = HOME / ("Scripts" if os.name == "nt" else "bin")
    stamp = HOME / "stamp"
    state = hashlib.sha256("\n".join([sys.version, str(HOME), *wanted]).encode()).hexdigest()
    if stamp.is_file() and stamp.read_text() == state:
        return scripts
    print("making .dev with nox and uv ...", flush=True)
    try:
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(HOME)], check=True)
    except subprocess.CalledProcessError:
        sys.exit("Python's venv module is incomplete here; on Debian and Ubuntu: apt install python3-venv")
    pip = [str(scripts / "python"), "-m", "pip", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--quiet", "--constraint", str(CONSTRAINTS), *TOOLS], check=True)
    stamp.write_text(state)
    return scripts


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
