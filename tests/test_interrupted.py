"""A run that is killed loses nothing that was saved, and ends as if nothing had happened."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

PROGRAM = """
import json, sys, lightly_train
if __name__ == "__main__":
    lightly_train.train_image_classification(**json.loads(sys.argv[1]))
"""


def start(arguments: dict[str, object]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", PROGRAM, json.dumps(arguments)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True)


def weights(out: Path) -> dict[str, torch.Tensor]:
    content = torch.load(out / "exported_models/exported_last.pt", weights_only=True)
    return content["model"]


def steps_logged(out: Path) -> int:
    file = out / "metrics.jsonl"
    return len(file.read_text().splitlines()) if file.is_file() else 0


@pytest.mark.skipif(os.name == "nt", reason="Windows has no process groups of this kind")
def test_sigterm_to_the_whole_process_group_saves_first_as_the_documentation_says(shapes, tmp_path):
    arguments = {
        "out": str(tmp_path / "run"),
        "model": "timm/test_resnet-notpretrained",
        "data": {"train": str(shapes / "train"), "val": str(shapes / "val")},
        "steps": 5000,
        "batch_size": 12,
        "num_workers": 2,
        "accelerator": "cpu",
        "transform_args": {"image_size": [32, 32]},
        "logger_args": {"log_every_num_steps": 1},
        "save_checkpoint_args": {"save_every_num_steps": 5000},
    }
    process = start(arguments)
    while steps_logged(tmp_path / "run") < 5 and process.poll() is None:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGTERM)
    printed = process.communicate()[1].decode()
    assert process.returncode == 128 + signal.SIGTERM, printed
    assert "stopped at step" in printed
    assert "Traceback" not in printed
    saved = torch.load(tmp_path / "run/checkpoints/last.ckpt", weights_only=True)
    assert 5 <= saved["step"] < 5000


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_a_run_that_was_killed_twice_ends_with_bit_identical_weights(shapes, tmp_path):
    arguments = {
        "model": "timm/test_resnet-notpretrained",
        "data": {"train": str(shapes / "train"), "val": str(shapes / "val")},
        "steps": 60,
        "batch_size": 12,
        "accelerator": "cpu",
        "model_args": {"head_dropout": 0.3},
        "transform_args": {"image_size": [32, 32]},
        "logger_args": {"log_every_num_steps": 1, "val_every_num_steps": 7},
        "save_checkpoint_args": {"save_every_num_steps": 3},
    }
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    done = start({**arguments, "out": str(whole), "num_workers": 0})
    assert done.communicate()[1] is not None
    assert done.returncode == 0
    for attempt, lines in enumerate((10, 35)):
        process = start({**arguments, "out": str(killed), "num_workers": attempt, "resume_interrupted": attempt > 0})
        while steps_logged(killed) < lines and process.poll() is None:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL, "the run ended before it could be killed"
    done = start({**arguments, "out": str(killed), "num_workers": 2, "resume_interrupted": True})
    printed = done.communicate()[1].decode()
    assert done.returncode == 0, printed
    one, other = weights(whole), weights(killed)
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert (whole / "metrics.jsonl").read_text() == (killed / "metrics.jsonl").read_text()
    best = [torch.load(out / "exported_models/exported_best.pt", weights_only=True) for out in (whole, killed)]
    assert best[0]["step"] == best[1]["step"]
    assert best[0]["metrics"] == best[1]["metrics"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no named pipes of this kind")
@pytest.mark.parametrize(("name", "status"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGUSR1", 138)])
def test_a_signal_while_the_data_are_read_ends_the_command_at_once_and_leaves_nothing(tmp_path, name, status):
    table = tmp_path / "data.yaml"
    os.mkfifo(table)
    command = [sys.executable, "-c", "from lightly_train.cli import main; main()", "train", "--out", "run"]
    command += ["--data", str(table), "--model", "timm/test_resnet-notpretrained"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, cwd=tmp_path, start_new_session=True)
    while True:
        try:
            # Nobody can write to a pipe that nobody reads.
            writing = os.open(table, os.O_WRONLY | os.O_NONBLOCK)
            break
        except OSError:
            assert process.poll() is None, process.communicate()[1].decode()
            time.sleep(0.01)
    asked = time.monotonic()
    process.send_signal(getattr(signal, name))
    printed = process.communicate()[1].decode()
    os.close(writing)
    assert time.monotonic() - asked < 5.0
    assert process.returncode == status, printed
    assert "Traceback" not in printed
    assert not (tmp_path / "run").exists()
