"""Weights & Biases in offline mode: its files exist and hold the values."""

from __future__ import annotations

import json
import logging
import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import lt_train.run
from lt_data import ConfigError
from lt_train import LoggerArgs, RunFolder, SaveCheckpointArgs, TrainConfigError, TrainResult, WandbArgs

if os.environ.get("LT_TRAIN_SERVICES") != "needed":
    pytest.importorskip("wandb", reason='needs "lightly-train[wandb]"', exc_type=ImportError)

from wandb.proto.wandb_internal_pb2 import Record  # only where it is installed

BLOCK = 32768


@pytest.fixture(autouse=True)
def patient(monkeypatch, tmp_path):
    # On a busy machine the end of a tiny run comes before its first value is sent.
    for module in ("remote", "wandb"):
        monkeypatch.setattr(f"lt_train.loggers.{module}.END_SECONDS", 60.0)
    for name in ("WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "home"))


class Stopped(Exception):
    """What a power cut is to a test in the same process."""


def records(file: Path) -> Iterator[Record]:
    """Records of a W&B file: seven bytes of header, then a log of LevelDB's form, whose blocks count from the start."""
    data, place, parts = file.read_bytes(), 7, b""
    while place + 7 <= len(data):
        if BLOCK - place % BLOCK < 7:
            place += BLOCK - place % BLOCK
            continue
        length, kind = struct.unpack_from("<HB", data, place + 4)
        parts += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield Record.FromString(parts)
            parts = b""


def offline_files(job) -> list[Path]:
    return sorted((job.out.root / "wandb").glob("offline-run-*/*.wandb"))


def rows_of(file: Path) -> list[dict[str, float]]:
    rows = []
    for record in records(file):
        if record.HasField("history"):
            items = record.history.item
            rows.append({item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items})
    return rows


def values_of(files: list[Path], name: str) -> dict[int, float]:
    found = [(row["_step"], row[name]) for file in files for row in rows_of(file) if name in row]
    assert len(dict(found)) == len(found), "a step is there twice"
    return dict(found)


def lines_of(job, name: str) -> dict[int, float]:
    lines = [json.loads(line) for line in job.out.metrics.read_text().splitlines()]
    return {line["step"]: line[name] for line in lines if name in line}


def test_an_offline_run_holds_the_values_and_the_arguments(job):
    args = WandbArgs(offline=True, name="first try", version="abc123", project="fruit", prefix="mine")
    job.run(logger_args=LoggerArgs(wandb=args, log_every_num_steps=1, val_every_num_steps=3))
    (file,) = offline_files(job)
    assert file.name == "run-abc123.wandb"
    (run,) = [record.run for record in records(file) if record.HasField("run")][:1]
    assert (run.run_id, run.display_name, run.project) == ("abc123", "first try", "fruit")
    for name in ("train_loss", "learning_rate", "val_loss", "val_metric/top1_acc_micro"):
        assert values_of([file], f"mine/{name}") == pytest.approx(lines_of(job, name))
    updates = [update for record in records(file) if record.HasField("config") for update in record.config.update]
    config = {update.key or "/".join(update.nested_key): json.loads(update.value_json) for update in updates}
    assert config["steps"] == 6
    (exit_status,) = [record.exit.exit_code for record in records(file) if record.HasField("exit")]
    assert exit_status == 0


def write_page(result: TrainResult, device: torch.device) -> Path:
    page = RunFolder(result.out).page
    page.write_text(f"best step {result.best_step}")
    return page


def artifacts_of(file: Path) -> dict[str, set[str]]:
    """Names of the files of each artifact, once W&B's own process has written down the end of the run."""
    end = time.monotonic() + 60.0
    while not any(record.HasField("exit") for record in records(file)):
        assert time.monotonic() < end
        time.sleep(0.05)
    found = {
        record.request.log_artifact.artifact.name: record.request.log_artifact.artifact
        for record in records(file)
        if record.HasField("request")
    } | {record.artifact.name: record.artifact for record in records(file) if record.HasField("artifact")}
    return {name: {entry.path for entry in one.manifest.contents} for name, one in found.items() if name}


def test_the_model_the_files_and_the_page_of_a_run_are_kept_as_artifacts(job):
    args = WandbArgs(offline=True, log_model=True, checkpoint_name="fruit-model", version="abc123")
    job.run(steps=1, logger_args=LoggerArgs(wandb=args), page=write_page)
    (file,) = offline_files(job)
    assert artifacts_of(file) == {
        "fruit-model": {"exported_best.pt"},
        "files-abc123": {"metrics.json", "per_class.csv", "train.log"},
        "report-abc123": {"report.html"},
    }


def test_without_the_model_the_page_with_its_pictures_of_the_data_is_not_kept(job):
    job.run(steps=1, logger_args=LoggerArgs(wandb=WandbArgs(offline=True, version="abc123")), page=write_page)
    (file,) = offline_files(job)
    assert artifacts_of(file).keys() == {"files-abc123"}


def test_the_files_of_an_offline_run_are_waited_for_however_slow_the_machine(job, monkeypatch):
    monkeypatch.setattr("lt_train.loggers.remote.END_SECONDS", 0.0)
    job.run(steps=1, logger_args=LoggerArgs(wandb=WandbArgs(offline=True)))
    (file,) = offline_files(job)
    assert values_of([file], "val_loss") == pytest.approx(lines_of(job, "val_loss"))
    assert [record.exit.exit_code for record in records(file) if record.HasField("exit")] == [0]


def test_a_resumed_offline_run_goes_on_with_its_id_and_no_step_is_there_twice(job, monkeypatch):
    common = {
        "steps": 9,
        "logger_args": LoggerArgs(wandb=WandbArgs(offline=True), log_every_num_steps=1, val_every_num_steps=9),
        "save_checkpoint_args": SaveCheckpointArgs(save_every_num_steps=4),
    }
    with monkeypatch.context() as patch:
        real = lt_train.run.Run.step

        def step_then_stop(self, state, batches):
            if state.step == 7:  # three steps after the checkpoint have been sent
                raise Stopped
            return real(self, state, batches)

        patch.setattr(lt_train.run.Run, "step", step_then_stop)
        with pytest.raises(Stopped):
            job.run(**common)
    (before,) = offline_files(job)
    assert values_of([before], "train_loss").keys() == set(range(1, 8))
    job.run(resume=True, **common)
    files = offline_files(job)
    assert {file.name for file in files} == {before.name}
    assert len(files) == 2
    assert values_of(files, "train_loss") == pytest.approx(lines_of(job, "train_loss"))


def test_a_validation_that_a_stop_put_off_is_there_once_the_run_is_resumed(job):
    common = {
        "steps": 4,
        "logger_args": LoggerArgs(wandb=WandbArgs(offline=True), log_every_num_steps=1, val_every_num_steps=2),
    }

    def terminate(module, inputs):
        if not module.training and signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
            signal.raise_signal(signal.SIGTERM)

    for attempt in range(2):
        with pytest.raises(SystemExit):
            job.run(resume=attempt > 0, change=lambda model: model.register_forward_pre_hook(terminate), **common)
    job.run(resume=True, **common)
    for name in ("train_loss", "val_loss"):
        assert values_of(offline_files(job), name) == pytest.approx(lines_of(job, name))


def test_nothing_is_told_of_the_machine_and_the_user(job):
    job.run(steps=1, logger_args=LoggerArgs(wandb=WandbArgs(offline=True)))
    (file,) = offline_files(job)
    (run,) = [record.run for record in records(file) if record.HasField("run")][:1]
    assert run.host != os.uname().nodename
    assert not any(record.HasField("stats") for record in records(file))
    assert not [path.name for path in file.parent.glob("files/*") if path.suffix in (".json", ".txt", ".patch")]


def test_being_logged_out_is_found_before_anything_is_trained(job, monkeypatch, tmp_path):
    for name in ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE", "WANDB_MODE", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(TrainConfigError, match="nobody is logged in to api[.].*WANDB_API_KEY.*offline"):
        job.run(logger_args=LoggerArgs(wandb=WandbArgs()))
    assert not job.out.root.exists()


def test_an_unreachable_service_stops_nothing(job, monkeypatch, caplog):
    monkeypatch.setattr("lt_train.loggers.remote.END_SECONDS", 1.0)
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    with caplog.at_level(logging.INFO):
        job.run(steps=1, logger_args=LoggerArgs(wandb=WandbArgs()))
    assert [record.levelno for record in caplog.records if record.getMessage().startswith("W&B: ")] == [30, 20]


def test_anonymous_runs_are_refused_with_the_reason():
    with pytest.raises(ConfigError, match="anonymous.*no longer"):
        WandbArgs(anonymous=True)


@pytest.mark.skipif(not Path("/usr/bin/strace").exists(), reason="needs strace")
def test_offline_opens_no_connection(tmp_path):
    """Every connect of the process and its children is to a socket of the machine itself."""
    program = f"""
from pathlib import Path
from lt_train.loggers.build import check_loggers, open_loggers
from lt_train import LoggerArgs, RunFolder, WandbArgs
args = LoggerArgs(tensorboard=None, wandb=WandbArgs(offline=True))
check_loggers(args, save_best=True)
folder = RunFolder(Path({str(tmp_path)!r}))
with open_loggers(args, folder, resume_step=0, enabled=True) as loggers:
    loggers.log(1, {{"x": 1.0}})
"""
    trace = tmp_path / "trace"
    command = ["strace", "-f", "-e", "trace=connect", "-o", str(trace), sys.executable, "-c", program]
    subprocess.run(command, check=True, timeout=120)
    connects = [line for line in trace.read_text().splitlines() if "sa_family=AF_INET" in line]
    assert all('"127.0.0.1"' in line or '"::1"' in line for line in connects), connects
    assert list((tmp_path / "wandb").glob("offline-run-*"))
