from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from lt_models import Classifier
from lt_train import (
    LoggerArgs,
    MetricArgs,
    OutOfSpaceError,
    RunFolder,
    RunFolderError,
    SaveCheckpointArgs,
    load_exported,
    saving,
)
from lt_train.host_copies import HostCopies
from lt_train.run_lock import run_lock
from lt_train.torchfile import write_torch_file

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc, limits and mounts")

SMALL_RUN = Path(__file__).parent / "small_run.py"


@pytest.fixture
def start(job, programs):
    """Starts runs of `job` in processes of their own, which do not outlive the test."""
    started = []

    def start_one(**settings: object):
        started.append(programs.start(SMALL_RUN, job.data.train.root.parent, json.dumps(settings)))
        return started[-1]

    yield start_one
    for process in started:
        process.kill()


def wait_until(condition: Callable[[], bool], process, seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert process.status() is None, process.printed()
        assert time.monotonic() < end
        time.sleep(0.005)


def lines_of(folder: RunFolder) -> list[dict[str, float]]:
    return [json.loads(line) for line in folder.metrics.read_text().splitlines()] if folder.metrics.is_file() else []


def children(process: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def assert_same(first: RunFolder, second: RunFolder) -> None:
    one, other = load_exported(first.exported_last).state, load_exported(second.exported_last).state
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert first.metrics.read_text() == second.metrics.read_text()


ENDLESS = {"steps": 100_000, "logger_args": {"log_every_num_steps": 1, "val_every_num_steps": 100_000}}


@pytest.mark.parametrize(("name", "status"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGUSR1", 138)])
def test_a_signal_in_training_saves_and_ends_with_the_documented_status(job, start, name, status):
    process = start(num_workers=1, **ENDLESS)
    wait_until(lambda: len(lines_of(job.out)) > 3, process)
    workers = children(process.pid)
    process.send_signal(getattr(signal, name))
    ended, printed = process.wait(30.0), process.printed()
    # Python ends itself by SIGINT after KeyboardInterrupt, which a shell shows as 130.
    assert ended in (status, -signal.SIGINT if name == "SIGINT" else status), printed
    step = torch.load(job.out.checkpoint, weights_only=True)["step"]
    assert f"stopped at step {step};" in printed
    assert load_exported(job.out.exported_last).step == step
    assert lines_of(job.out)[-1]["step"] == step
    assert workers
    assert not any(Path(f"/proc/{worker}").exists() for worker in workers)
    assert not list(job.out.root.rglob(".*"))


def terminate_in_validation(classifier: Classifier) -> None:
    """Ask for an end at the first batch of a validation."""

    def ask(module, arguments):
        if not module.training and signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
            os.kill(os.getpid(), signal.SIGTERM)

    classifier.register_forward_pre_hook(ask)


def test_a_signal_in_a_validation_puts_it_off_and_the_resumed_run_has_no_seam(job):
    common = {
        "steps": 3,
        "logger_args": LoggerArgs(log_every_num_steps=1, val_every_num_steps=2),
        "metric_args": MetricArgs(train=True),
        "save_checkpoint_args": SaveCheckpointArgs(save_every_num_steps=3),
    }
    whole = RunFolder(job.out.root.parent / "whole")
    job.run(out=whole, **common)
    for attempt, due in enumerate((2, 2)):
        with pytest.raises(SystemExit) as caught:
            job.run(resume=attempt > 0, change=terminate_in_validation, **common)
        assert caught.value.code == 143
        saved = torch.load(job.out.checkpoint, weights_only=True)
        assert (saved["step"], saved["validation_due"]) == (due, True)
    # What a run leaves that was resumed, validated, and killed before it saved that.
    with open(job.out.metrics, "a") as stream:
        stream.write('{"step": 2, "val_loss": 0.0}\n')
    job.run(resume=True, **common)
    assert_same(whole, job.out)
    assert whole.report.read_text() == job.out.report.read_text()
    assert load_exported(whole.exported_best).step == load_exported(job.out.exported_best).step


def test_a_validation_of_the_last_step_that_was_put_off_is_made_up_for(job):
    common = {"steps": 2, "logger_args": LoggerArgs(log_every_num_steps=1, val_every_num_steps=5)}
    whole = RunFolder(job.out.root.parent / "whole")
    job.run(out=whole, **common)
    with pytest.raises(SystemExit):
        job.run(change=terminate_in_validation, **common)
    job.run(resume=True, **common)
    assert_same(whole, job.out)
    assert load_exported(whole.exported_last).metrics == load_exported(job.out.exported_last).metrics


def test_a_second_ctrl_c_acts_at_once_and_leaves_valid_files(job, start):
    settings = {**ENDLESS, "save_checkpoint_args": {"save_every_num_steps": 1}}
    process = start(**settings)
    wait_until(lambda: len(lines_of(job.out)) > 3, process)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    assert process.wait() in (130, -signal.SIGINT)
    assert torch.load(job.out.checkpoint, weights_only=True)["step"] >= 1
    assert load_exported(job.out.exported_last).step >= 1
    half_written = job.out.checkpoint.with_name(".last.ckpt.tmp")
    half_written.touch()
    again = start(resume=True, save_checkpoint_args={"save_every_num_steps": 100_000}, **ENDLESS)
    wait_until(lambda: "resumed" in job.out.log.read_text(), again)
    assert not half_written.exists()


def test_a_killed_loader_process_is_named_with_what_to_do_and_the_last_save_stays(job, start):
    process = start(num_workers=2, save_checkpoint_args={"save_every_num_steps": 2}, **ENDLESS)
    wait_until(lambda: job.out.exported_last.is_file() and len(lines_of(job.out)) > 5, process)
    os.kill(children(process.pid)[-1], signal.SIGKILL)
    assert process.wait(60.0) == 1
    printed = process.printed()
    assert "LoaderWorkerError" in printed
    assert "Lower `num_workers`" in " ".join(printed.split())
    assert torch.load(job.out.checkpoint, weights_only=True)["step"] >= 2
    load_exported(job.out.exported_last)


def test_a_second_run_in_the_same_folder_is_refused_with_the_process_that_holds_it(job, start):
    process = start(num_workers=1, save_checkpoint_args={"save_every_num_steps": 1}, **ENDLESS)
    wait_until(job.out.checkpoint.is_file, process)
    for how in ({"overwrite": True, "resume": False}, {"overwrite": False, "resume": True}, {}):
        with pytest.raises(RunFolderError, match=f"process {process.pid} "):
            job.out.check(**(how or {"overwrite": False, "resume": False}))
    with pytest.raises(RunFolderError, match=f"process {process.pid} "):
        job.run(resume=True)
    process.send_signal(signal.SIGKILL)  # its loader process lives on for a moment
    process.wait()
    with run_lock(job.out.root):
        assert (job.out.root / ".lock").read_text().startswith(f"process {os.getpid()} on ")
    assert not (job.out.root / ".lock").exists()


def test_a_run_that_ended_in_the_folder_since_it_was_checked_is_not_replaced(job):
    job.out.check(overwrite=False, resume=False)
    job.run(steps=1)
    log = job.out.log.read_text()
    with pytest.raises(RunFolderError, match="not empty"):
        job.run(steps=1, overwrite=False)
    assert job.out.log.read_text() == log
    assert job.out.exported_last.is_file()
    assert not (job.out.root / ".lock").exists()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if not mounted or mounted.returncode:
        pytest.skip("this account may not mount a file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_what_is_saved_is_the_step_whatever_training_does_while_it_is_written():
    weight, moment = torch.ones(3), torch.ones(2)
    copied = HostCopies().take({"model": {"weight": weight}, "groups": [{"moments": (moment,), "lr": 0.1}]})
    weight.zero_()
    moment.zero_()
    assert torch.equal(copied["model"]["weight"], torch.ones(3))
    assert torch.equal(copied["groups"][0]["moments"][0], torch.ones(2))


class Stopped(Exception):
    """An end without any save."""


def stop_in_step(number: int) -> Callable[[Classifier], object]:
    passes = iter(range(number - 1))

    def count(module, arguments):
        if module.training and next(passes, None) is None:
            raise Stopped

    return lambda classifier: classifier.register_forward_pre_hook(count)


@pytest.mark.parametrize("number", range(2, 9))
def test_a_run_killed_before_any_of_its_files_goes_on_with_the_best_model_that_it_knows_of(job, monkeypatch, number):
    common = {
        "steps": 4,
        "logger_args": LoggerArgs(log_every_num_steps=1, val_every_num_steps=2),
        "metric_args": MetricArgs(watch_metric="val_loss"),
        "save_checkpoint_args": SaveCheckpointArgs(save_every_num_steps=3),
    }
    whole = RunFolder(job.out.root.parent / "whole")
    assert job.run(out=whole, **common).best_step == 4
    writes = iter(range(number - 1))

    def write(path, content):
        if next(writes, None) is None:
            raise Stopped
        write_torch_file(path, content)

    with monkeypatch.context() as patched:
        patched.setattr(saving, "write_torch_file", write)
        with pytest.raises(Stopped):
            job.run(**common)
    with suppress(Stopped):
        job.run(resume=True, change=stop_in_step(1), **common)
    saved = torch.load(job.out.checkpoint, weights_only=True)
    assert load_exported(job.out.exported_best).step == saved["best"]["step"]
    assert load_exported(job.out.exported_last).step == saved["step"]
    job.run(resume=True, **common)
    assert_same(whole, job.out)
    assert whole.report.read_text() == job.out.report.read_text()
    best, expected = (load_exported(folder.exported_best) for folder in (job.out, whole))
    assert (best.step, best.metrics) == (expected.step, expected.metrics)
    assert all(torch.equal(best.state[name], tensor) for name, tensor in expected.state.items())


def test_a_full_disk_is_told_before_writing_with_the_bytes_needed_and_the_old_checkpoint_stays(job, small_disk):
    out = RunFolder(small_disk / "run")
    common = {"out": out, "steps": 6, "save_checkpoint_args": SaveCheckpointArgs(save_every_num_steps=2)}
    with pytest.raises(Stopped):
        job.run(change=stop_in_step(3), **common)
    before = out.checkpoint.read_bytes()
    (small_disk / "filler").write_bytes(bytes(shutil.disk_usage(small_disk).free - 1_100_000))
    with pytest.raises(OutOfSpaceError, match=r"the disk is full: .* needed.*resume_interrupted") as caught:
        job.run(resume=True, **common)
    assert isinstance(caught.value, OSError)
    assert caught.value.needed > caught.value.free > 0
    assert out.checkpoint.read_bytes() == before
    assert not list(out.root.rglob(".*"))
    (small_disk / "filler").unlink()
    assert job.run(resume=True, **common).last_metrics


def test_a_write_that_fails_half_way_is_told_and_the_old_checkpoint_stays(job, start):
    import resource

    process = start(save_checkpoint_args={"save_every_num_steps": 1}, **ENDLESS)
    wait_until(job.out.exported_last.is_file, process)
    limit = job.out.checkpoint.stat().st_size - 100_000
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (limit, limit))
    assert process.wait() == 1
    printed = " ".join(process.printed().split())
    assert "OutOfSpaceError" in printed
    assert "File too large" in printed
    assert torch.load(job.out.checkpoint, weights_only=True)["step"] >= 1
    assert not list(job.out.root.rglob(".*"))
