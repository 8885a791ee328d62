"""Scripts that train wherever they are imported.

Windows and macOS start processes by spawning: each imports the main script anew, and a script that trains without
`if __name__ == "__main__":` would train, and spawn, in each of them again.
"""

from __future__ import annotations

import ast
import multiprocessing
import sys
from pathlib import Path
from types import FrameType
from typing import Literal

from lt_train.errors import MainGuardError

ADVICE = """{place}a script that trains with processes that load images must start training below the line

    if __name__ == "__main__":

because this system starts a process by importing the script again; or set num_workers=0"""

Context = Literal["fork", "forkserver", "spawn"]


def check_main_guard(num_workers: int | Literal["auto"], context: Context | None) -> None:
    """Refuse to spawn from a script that would train again in each process; end the process if it is such a one.

    Args:
        num_workers: Of the run; without workers nothing is spawned.
        context: How workers are started; None takes the system's way.

    Raises:
        MainGuardError: The script calls training outside of `if __name__ == "__main__":`.
        SystemExit: This process was spawned, and is still importing the script that spawned it.
    """
    # Python's own check, in multiprocessing.spawn, looks at the same mark.
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise SystemExit(ADVICE.format(place=""))
    started = context or multiprocessing.get_start_method(allow_none=True) or multiprocessing.get_all_start_methods()[0]
    if num_workers == 0 or started == "fork":
        return
    frame = _running_script(sys._getframe())
    if frame is not None and not _is_guarded(frame):
        raise MainGuardError(ADVICE.format(place=f"{frame.f_code.co_filename}, line {frame.f_lineno}: "))


def _running_script(frame: FrameType | None) -> FrameType | None:
    """The line of the main script that is being run, None if there is no script."""
    script = vars(sys.modules["__main__"])
    while frame is not None:
        if frame.f_globals is script and frame.f_code.co_name == "<module>":
            return frame
        frame = frame.f_back
    return None


def _is_guarded(frame: FrameType) -> bool:
    """Whether imports do not come to the line, as far as can be seen, or its file is none that can be imported again.

    It stands in a block below a question for `__name__`, or after one whether the script is imported, which may leave.
    """
    try:
        module = ast.parse(Path(frame.f_code.co_filename).read_bytes())
    except (OSError, SyntaxError, ValueError):
        return True
    line = frame.f_lineno
    return any(
        one.lineno <= line <= (one.end_lineno or line) or (one.lineno < line and _asks_for_import(one.test))
        for one in module.body
        if isinstance(one, ast.If)
        and any(isinstance(part, ast.Name) and part.id == "__name__" for part in ast.walk(one.test))
    )


def _asks_for_import(test: ast.expr) -> bool:
    return any(isinstance(part, ast.NotEq) for part in ast.walk(test))
