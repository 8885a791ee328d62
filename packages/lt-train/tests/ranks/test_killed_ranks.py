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


def wait_until_it_steps(job, process, steps: int = 4) -> None:
    end = time.monotonic() + 120.0
    while not job.out.metrics.is_file() or job.out.metrics.read_bytes().count(b"\n") < steps:
        assert process.status() is None, process.printed()
        assert time.monotonic() < end
        time.sleep(0.005)


def started_by(first) -> int:
    """The process of the second rank."""
    children = Path(f"/proc/{first.pid}/task/{first.pid}/children").read_text().split()
    (second,) = [int(child) for child in children if b"small_run" in Path(f"/proc/{child}/cmdline").read_bytes()]
    return second


def has_ended(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


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
        os.kill(started_by(first), signal.SIGKILL)
        assert first.wait(30.0) != 0
    finally:
        first.kill()


def test_a_rank_that_hangs_when_the_process_that_started_it_is_killed_ends_too(job, programs):
    settings = {**SETTINGS, "second_hangs_in_step": 8}
    first = programs.start(SMALL_RUN, job.data.train.root.parent, json.dumps(settings))
    try:
        wait_until_it_steps(job, first, steps=8)
        time.sleep(0.5)  # the second process begins its next step, and hangs
        second = started_by(first)
        os.kill(first.pid, signal.SIGKILL)
        end = time.monotonic() + 30.0
        while not has_ended(second):
            assert time.monotonic() < end
            time.sleep(0.05)
    finally:
        first.kill()
    assert f"process {first.pid}, which started it, is gone" in first.printed()
