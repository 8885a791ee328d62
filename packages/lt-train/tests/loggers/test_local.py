"""TensorBoard and `metrics.jsonl`, read back with TensorBoard's own reader."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import plugin_data_pb2

import lt_train.run
from lt_train import EarlyStoppingArgs, LoggerArgs, SaveCheckpointArgs, TensorBoardArgs, TrainConfigError
from lt_train.loggers.confusion_picture import confusion_picture


class Stopped(Exception):
    """What a power cut is to a test in the same process."""


def stop_before(patch: pytest.MonkeyPatch, step: int) -> None:
    real = lt_train.run.Run.step

    def step_or_stop(self, state, batches):
        if state.step == step - 1:
            raise Stopped
        return real(self, state, batches)

    patch.setattr(lt_train.run.Run, "step", step_or_stop)


def events_of(folder) -> EventAccumulator:
    return EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0}).Reload()


def pictures_of(events: EventAccumulator, tag: str) -> dict[int, Image.Image]:
    return {one.step: Image.open(io.BytesIO(one.encoded_image_string)) for one in events.Images(tag)}


def lines_of(job, name: str) -> dict[int, float]:
    lines = [json.loads(line) for line in job.out.metrics.read_text().splitlines()]
    return {line["step"]: line[name] for line in lines if name in line}


def test_tensorboard_holds_values_pictures_and_arguments_where_it_was_told_to(job):
    args = TensorBoardArgs(name="a", version="b", sub_dir="c", prefix="mine", log_graph=True)
    result = job.run(logger_args=LoggerArgs(tensorboard=args, log_every_num_steps=2, val_every_num_steps=3))
    events = events_of(job.out.root / "a" / "b" / "c")
    assert {one.step: one.value for one in events.Scalars("mine/train_loss")} == pytest.approx(
        lines_of(job, "train_loss")
    )
    samples = pictures_of(events, "mine/training_samples")
    assert np.ptp(np.asarray(samples[0])) == 255
    assert pictures_of(events, "mine/confusion/best").keys() == {result.best_step}
    assert pictures_of(events, "mine/confusion/last").keys() == {6}
    start = events.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    told = plugin_data_pb2.HParamsPluginData.FromString(start).session_start_info.hparams
    assert told["steps"].number_value == 6
    assert told["model_args.gradient_clip_val"].number_value == 3.0
    assert len(events.Graph().node) > 20


def test_by_default_tensorboard_draws_no_graph(job):
    job.run(steps=1)
    assert not events_of(job.out.root).Tags()["graph"]


def test_an_overwritten_run_leaves_nothing_in_tensorboard_folders_of_its_own(job):
    args = LoggerArgs(tensorboard=TensorBoardArgs(name="a"), log_every_num_steps=1)
    job.run(steps=3, logger_args=args)
    job.run(steps=2, logger_args=args)
    assert [one.step for one in events_of(job.out.root / "a").Scalars("train_loss")] == [1, 2]


def test_a_multilabel_run_has_no_confusion_picture(multilabel_job):
    multilabel_job.run(steps=1)
    assert events_of(multilabel_job.out.root).Tags()["images"] == ["training_samples"]


def test_the_confusion_picture_shows_base_letters_and_no_boxes():
    accents, plain = (confusion_picture(np.eye(2), names) for names in (["für", "niño 猫"], ["fur", "nino ?"]))
    assert accents.tobytes() == plain.tobytes()


def test_the_confusion_picture_is_dark_where_most_samples_are():
    counts = np.array([[9, 1], [123456, 0]])
    picture = confusion_picture(counts, ["cat", "a name that is much too long to be shown whole"])
    cell = (picture.width - 8) - 2 * 32
    dark, light = picture.getpixel((cell + 2, cell + 2)), picture.getpixel((cell + 32 + 2, cell + 2))
    assert sum(dark) < sum(light)
    wrong = picture.getpixel((cell + 2, cell + 32 + 2))
    assert sum(wrong) < sum(dark)


def test_validations_are_logged_as_often_as_asked_and_the_last_always(job):
    args = LoggerArgs(val_every_num_steps=2, val_log_every_num_steps=4, log_every_num_steps=1)
    job.run(steps=9, logger_args=args)
    assert list(lines_of(job, "val_loss")) == [4, 8, 9]


def test_the_last_validation_is_logged_too_where_it_ends_the_run(job):
    args = LoggerArgs(val_every_num_steps=2, val_log_every_num_steps=20, log_every_num_steps=1)
    early = EarlyStoppingArgs(patience=1, min_delta=0.99)
    assert job.run(steps=40, logger_args=args, early_stopping_args=early).best_step
    assert list(lines_of(job, "val_loss")) == [4]


def test_logging_validations_that_do_not_take_place_is_refused(job):
    with pytest.raises(TrainConfigError, match="val_log_every_num_steps: 3 is no multiple of .*, which is 2"):
        job.run(logger_args=LoggerArgs(val_every_num_steps=2, val_log_every_num_steps=3))
    assert not job.out.root.exists()


def test_a_resumed_tensorboard_curve_has_no_seam(job, monkeypatch):
    common = {
        "steps": 9,
        "logger_args": LoggerArgs(log_every_num_steps=1, val_every_num_steps=2),
        "save_checkpoint_args": SaveCheckpointArgs(save_every_num_steps=4),
    }
    with monkeypatch.context() as patch:
        stop_before(patch, 8)
        with pytest.raises(Stopped):
            job.run(**common)
    job.run(resume=True, **common)
    events = events_of(job.out.root)
    assert [one.step for one in events.Scalars("train_loss")] == list(range(1, 10))
    assert [one.step for one in events.Scalars("val_loss")] == [2, 4, 6, 8, 9]
    assert len(events.Images("training_samples")) == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_metrics_file_on_a_full_disk_costs_one_warning(job, monkeypatch, caplog):
    with monkeypatch.context() as patch:
        stop_before(patch, 4)
        with pytest.raises(Stopped):
            job.run(save_checkpoint_args=SaveCheckpointArgs(save_every_num_steps=2))
    job.out.metrics.unlink()
    job.out.metrics.symlink_to("/dev/full")
    with caplog.at_level(logging.INFO):
        result = job.run(resume=True, save_checkpoint_args=SaveCheckpointArgs(save_every_num_steps=2))
    assert result.exported_best is not None
    said = [
        (record.levelno, record.getMessage()) for record in caplog.records if "metrics.jsonl" in record.getMessage()
    ]
    assert [level for level, _ in said] == [logging.WARNING, logging.INFO]
    assert "No space left" in said[0][1]


FULL = """
import json, logging, resource, signal, sys
from pathlib import Path
from lt_train import LoggerArgs, RunFolder
from lt_train.loggers.build import open_loggers

logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with open_loggers(LoggerArgs(), RunFolder(Path(sys.argv[1])), resume_step=0, enabled=True) as loggers:
    for step in range(1, 301):
        limit = 4000 if step < 250 else resource.RLIM_INFINITY
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        loggers.log(step, {"x": 1 / step, "y": 2.0})
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no limit on the size of a file")
def test_files_stay_whole_when_the_disk_is_full_and_go_on_when_there_is_space_again(tmp_path):
    done = subprocess.run([sys.executable, "-c", FULL, str(tmp_path)], capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    events = events_of(tmp_path).Scalars("x")
    for steps in ([line["step"] for line in lines], [one.step for one in events]):
        written = steps.index(250)
        assert steps == [*range(1, written + 1), *range(250, 301)]
        assert 20 < written < 200
        missing = 2 * (249 - written)
        assert f"{missing} values could not be written" in done.stderr
    assert done.stderr.count("WARNING") == 2
    assert "Traceback" not in done.stderr


def test_a_logger_that_is_not_installed_is_refused_before_anything_is_trained(tmp_path):
    program = """
import sys
from importlib.machinery import PathFinder
real = PathFinder.find_spec
PathFinder.find_spec = lambda name, *rest: None if name in ("mlflow", "wandb") else real(name, *rest)
from lt_train import LoggerArgs, MLflowArgs, TrainConfigError, WandbArgs
from lt_train.loggers.build import check_loggers
for args in (LoggerArgs(mlflow=MLflowArgs()), LoggerArgs(wandb=WandbArgs(offline=True))):
    try:
        check_loggers(args, save_best=True)
    except TrainConfigError as error:
        print(error)
"""
    printed = subprocess.check_output([sys.executable, "-c", program], text=True).splitlines()
    assert [line.partition("pip install ")[2] for line in printed] == [
        '"lightly-train[mlflow]"',
        '"lightly-train[wandb]"',
    ]
