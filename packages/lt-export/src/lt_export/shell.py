"""Commands for a person to copy."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Sequence


def shell_line(words: Sequence[str]) -> str:
    """Words as one line for the shell of this system."""
    return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)
