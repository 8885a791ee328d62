from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")

SMALL_RUN = Path(__file__).parent.parent / "small_run.py"
SETTINGS = {
    "devices": 2,
    "strategy": "ddp",
    "steps": 100_000,
    "logger_args": {"log_every_num_steps": 1, "val_every_num_steps": 100_000},
}


def wait_until_it_steps(job, process) -> None:
    end = time.monotonic() + 120.0
    while not job.out.metrics.is_file() or job.out.metrics.read_bytes().count(b"\n") < 4:
        assert process.status() is None, process.printed()
        assert time.monotonic() < end
        time.sleep(0.005)


def children(process: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def test_when_the_first_of_two_ranks_is_killed_the_other_ends_with_an_error(job, programs):
    first, second = programs.start_ranks(SMALL_RUN, job.data.train.root.parent, json.dumps(SETTINGS))
    try:
        wait_until_it_steps(job, first)
        os.kill(first.pid, signal.SIGKILL)
        assert second.wait(30.0) != 0
    finally:
        for rank in (first, second):
            rank.kill()


def test_when_a_rank_that_the_first_has_started_is_killed_the_first_ends_with_an_error(job, programs):
    first = programs.start(SMALL_RUN, job.data.train.root.parent, json.dumps(SETTINGS))
    try:
        wait_until_it_steps(job, first)
        (second,) = [
            child for child in children(first.pid) if b"small_run" in Path(f"/proc/{child}/cmdline").read_bytes()
        ]
        os.kill(second, signal.SIGKILL)
        assert first.wait(30.0) != 0
    finally:
        first.kill()
