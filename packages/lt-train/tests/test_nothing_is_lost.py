from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from lt_train import OutOfSpaceError, RunFolder, RunFolderError, load_exported
from lt_train.run_lock import run_lock

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals of this kind")

SMALL_RUN = Path(__file__).parent / "small_run.py"


def start(job, limit: int | None = None, **settings: object) -> subprocess.Popen[str]:
    """Start a run of `job` in a process of its own, which may write files of `limit` bytes at most."""
    command = [sys.executable, str(SMALL_RUN), str(job.data.train.root.parent), json.dumps(settings)]
    limited = None if limit is None else lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True, preexec_fn=limited)


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[str], seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()[1]
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
def test_a_signal_in_training_saves_and_ends_with_the_documented_status(job, name, status):
    process = start(job, num_workers=1, **ENDLESS)
    wait_until(lambda: len(lines_of(job.out)) > 3, process)
    workers = children(process.pid)
    asked = time.monotonic()
    process.send_signal(getattr(signal, name))
    printed = process.communicate()[1]
    assert time.monotonic() - asked < 5.0
    # Python ends itself by SIGINT after KeyboardInterrupt, which a shell shows as 130.
    assert process.returncode in (status, -signal.SIGINT if name == "SIGINT" else status), printed
    step = torch.load(job.out.checkpoint, weights_only=True)["step"]
    assert f"stopped at step {step};" in printed
    assert load_exported(job.out.exported_last).step == step
    assert lines_of(job.out)[-1]["step"] == step
    assert workers
    assert not any(Path(f"/proc/{worker}").exists() for worker in workers)
    assert not list(job.out.root.rglob(".*"))


SLOW_VALIDATION = {
    "steps": 3,
    "batch_size": 2,
    "logger_args": {"log_every_num_steps": 1, "val_every_num_steps": 2},
    "save_checkpoint_args": {"save_every_num_steps": 3},
}


def test_a_signal_in_a_validation_puts_it_off_and_the_resumed_run_has_no_seam(job, write_samples):
    shutil.rmtree(job.data.val.root)
    write_samples(job.data.val.root, 1500, seed=3)
    whole = RunFolder(job.out.root.parent / "whole")
    assert start(job, out="whole", **SLOW_VALIDATION).wait() == 0
    for due in (2, 3):
        process = start(job, resume=due > 2, **SLOW_VALIDATION)
        wait_until(lambda due=due: any(line["step"] == due for line in lines_of(job.out)), process)
        process.send_signal(signal.SIGTERM)
        printed = process.communicate()[1]
        assert process.returncode == 143, printed
        assert torch.load(job.out.checkpoint, weights_only=True)["validation_due"], "the signal came too late"
        assert torch.load(job.out.checkpoint, weights_only=True)["step"] == due
    # What a run leaves that was resumed, validated and killed before it saved that.
    with open(job.out.metrics, "a") as stream:
        stream.write('{"step": 3, "val_loss": 0.0}\n')
    last = start(job, resume=True, **SLOW_VALIDATION)
    assert last.wait() == 0
    assert_same(whole, job.out)
    assert whole.report.read_text() == job.out.report.read_text()
    assert load_exported(whole.exported_best).step == load_exported(job.out.exported_best).step


def test_a_second_ctrl_c_acts_at_once_and_leaves_valid_files(job):
    settings = {**ENDLESS, "save_checkpoint_args": {"save_every_num_steps": 1}}
    process = start(job, **settings)
    wait_until(lambda: len(lines_of(job.out)) > 3, process)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert process.returncode in (130, -signal.SIGINT)
    assert torch.load(job.out.checkpoint, weights_only=True)["step"] >= 1
    assert load_exported(job.out.exported_last).step >= 1
    again = start(job, resume=True, **settings)
    wait_until(lambda: "resumed" in job.out.log.read_text(), again)
    assert not list(job.out.root.rglob(".*.tmp")) or again.poll() is None
    again.kill()
    again.communicate()


def test_a_killed_loader_process_is_named_with_what_to_do_and_the_last_save_stays(job):
    process = start(job, num_workers=2, save_checkpoint_args={"save_every_num_steps": 2}, **ENDLESS)
    wait_until(lambda: job.out.exported_last.is_file() and len(lines_of(job.out)) > 5, process)
    asked = time.monotonic()
    os.kill(children(process.pid)[-1], signal.SIGKILL)
    printed = process.communicate()[1]
    assert time.monotonic() - asked < 10.0
    assert process.returncode == 1
    assert "LoaderWorkerError" in printed
    assert "Lower num_workers" in " ".join(printed.split())
    assert torch.load(job.out.checkpoint, weights_only=True)["step"] >= 2
    load_exported(job.out.exported_last)


def test_a_second_run_in_the_same_folder_is_refused_with_the_process_that_holds_it(job):
    process = start(job, num_workers=1, save_checkpoint_args={"save_every_num_steps": 1}, **ENDLESS)
    wait_until(job.out.checkpoint.is_file, process)
    for how in ({"overwrite": True, "resume": False}, {"overwrite": False, "resume": True}, {}):
        with pytest.raises(RunFolderError, match=f"process {process.pid} "):
            job.out.check(**(how or {"overwrite": False, "resume": False}))
    with pytest.raises(RunFolderError, match=f"process {process.pid} "):
        job.run(resume=True)
    process.kill()
    process.communicate()
    with run_lock(job.out.root):
        assert (job.out.root / ".lock").read_text().startswith(f"process {os.getpid()} on ")
    assert not (job.out.root / ".lock").exists()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if not mounted or mounted.returncode:
        pytest.skip("this account may not mount a file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_told_before_writing_with_the_bytes_needed_and_the_old_checkpoint_stays(job, small_disk):
    out = RunFolder(small_disk / "run")
    common = {"out": out, "steps": 6}
    job.run(**common)
    before = {path: path.read_bytes() for path in (out.checkpoint, out.exported_last, out.exported_best)}
    filler = shutil.disk_usage(small_disk).free - 1_100_000
    (small_disk / "filler").write_bytes(bytes(filler))
    (out.root / ".filler.tmp").touch()
    with pytest.raises(OutOfSpaceError, match=r"needed.*are free.*resume_interrupted") as caught:
        job.run(**common, resume=True)
    assert isinstance(caught.value, OSError)
    assert caught.value.path.parent.parent == out.root
    assert caught.value.needed > caught.value.free > 0
    assert {path: path.read_bytes() for path in before} == before


def test_a_write_that_fails_half_way_is_told_and_the_old_checkpoint_stays(job):
    settings = {"steps": 4, "save_checkpoint_args": {"save_every_num_steps": 2}}
    assert start(job, **settings).wait() == 0
    before = job.out.checkpoint.read_bytes()
    shorter = len(before) - 100_000
    process = start(job, resume=False, out="other", limit=shorter, **settings)
    printed = " ".join(process.communicate()[1].split())
    assert process.returncode == 1
    assert "OutOfSpaceError" in printed
    assert "File too large" in printed
    assert not list((job.out.root.parent / "other").rglob(".*.tmp"))
