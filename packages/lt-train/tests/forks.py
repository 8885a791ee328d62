"""Programs that begin at once: what takes seconds to import is imported here once, and each program is a fork.

A line of the input is a JSON object: `command`, a program and its arguments; `variables` of its environment; `folder`,
which gets the files `process`, `printed` and, at the end, `status`, as `subprocess` has it. A program is the main
module of a process that leads a session of its own. At the end of the input what still runs is killed.
"""

from __future__ import annotations

import json
import os
import runpy
import select
import signal
import subprocess
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path

IMPORTED = ("timm", "torch.utils.tensorboard", "lt_data.torch.augment", "lt_models.classifier", "lt_train.training")


def start(command: list[str], variables: dict[str, str], printed: Path) -> int:
    """The process that runs a program; 0 in that process."""
    if sys.platform != "linux":  # Apple's libraries do not survive a fork.
        environment = {**os.environ, **variables}
        with printed.open("w") as stream:
            return subprocess.Popen(
                [sys.executable, *command],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            ).pid
    process = os.fork()
    if process == 0:
        os.setsid()
        with printed.open("w") as stream, open(os.devnull) as nothing:
            for source, target in ((nothing, 0), (stream, 1), (stream, 2)):
                os.dup2(source.fileno(), target)
        os.environ.update(variables)
        sys.argv = command
    return process


def write(path: Path, number: int) -> None:
    """Write a number so that who finds the file finds it whole."""
    path.with_suffix(".new").write_text(str(number))
    path.with_suffix(".new").rename(path)


def serve() -> bool:
    """Start what is asked for until nothing more is; True in a process that is to run a program."""
    running: dict[int, Path] = {}
    while True:
        if select.select([sys.stdin], [], [], 0.01)[0]:
            line = sys.stdin.readline()
            if not line:
                break
            asked = json.loads(line)
            folder = Path(asked["folder"])
            process = start(asked["command"], asked["variables"], folder / "printed")
            if process == 0:
                return True
            running[process] = folder
            write(folder / "process", process)
        if running:
            process, status = os.waitpid(-1, os.WNOHANG)
            if process:
                write(running.pop(process) / "status", os.waitstatus_to_exitcode(status))
    for process in running:
        with suppress(ProcessLookupError):
            os.killpg(process, signal.SIGKILL)
    return False


for name in IMPORTED:
    import_module(name)
if serve():
    runpy.run_path(sys.argv[0], run_name="__main__")
