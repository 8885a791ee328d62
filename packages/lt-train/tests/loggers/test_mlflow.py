"""MLflow, with a real server on the loopback interface."""

from __future__ import annotations

import json
import logging
import os
import socket
import time
from pathlib import Path

import attrs
import pytest
import torch

import lt_train.run
from lt_data import ConfigError
from lt_train import (
    LoggerArgs,
    MetricArgs,
    MLflowArgs,
    RunFolder,
    SaveCheckpointArgs,
    TrainConfigError,
    TrainResult,
)
from lt_train.loggers.build import open_loggers
from lt_train.loggers.remote import END_SECONDS, QUEUE_ITEMS

if os.environ.get("LT_TRAIN_SERVICES") != "needed":
    pytest.importorskip("mlflow", reason='needs "lightly-train[mlflow]"', exc_type=ImportError)

from mlflow.tracking import MlflowClient  # only where it is installed

GOES_ON = "the run goes on, and what cannot be sent is dropped"


class Stopped(Exception):
    """What a power cut is to a test in the same process."""


def write_page(result: TrainResult, device: torch.device) -> Path:
    page = RunFolder(result.out).page
    page.write_text(f"best step {result.best_step}")
    return page


@pytest.fixture
def experiment(request) -> str:
    return request.node.name


def only_run(client: MlflowClient, experiment: str):
    found = client.get_experiment_by_name(experiment)
    (run,) = client.search_runs([found.experiment_id])
    return run


def history(client: MlflowClient, run_id: str, name: str) -> dict[int, float]:
    """Values by step, each of which is there once."""
    metrics = client.get_metric_history(run_id, name)
    values = {metric.step: metric.value for metric in metrics}
    assert len(values) == len(metrics)
    return values


def lines_of(job, name: str) -> dict[int, float]:
    lines = [json.loads(line) for line in job.out.metrics.read_text().splitlines()]
    return {line["step"]: line[name] for line in lines if name in line}


def test_a_run_is_on_the_server_with_all_that_was_asked_for(job, server, experiment, tmp_path):
    args = MLflowArgs(
        tracking_uri=server.uri,
        experiment_name=experiment,
        run_name="first try",
        tags={"team": "vision"},
        prefix="mine",
        log_model=True,
    )
    job.run(logger_args=LoggerArgs(mlflow=args, log_every_num_steps=1, val_every_num_steps=3), page=write_page)
    client = MlflowClient(server.uri)
    run = only_run(client, experiment)
    assert run.info.run_name == "first try"
    assert run.info.status == "FINISHED"
    assert run.data.tags["team"] == "vision"
    for name in ("train_loss", "learning_rate", "val_loss", "val_metric/top1_acc_micro"):
        assert history(client, run.info.run_id, f"mine/{name}") == pytest.approx(lines_of(job, name))
    assert run.data.params["steps"] == "6"
    assert run.data.params["model_args.gradient_clip_val"] == "3.0"
    kept = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert kept == {"metrics.json", "per_class.csv", "train.log", "report.html", "model"}
    for name, file in (("model/exported_best.pt", job.out.exported_best), ("report.html", job.out.page)):
        assert Path(client.download_artifacts(run.info.run_id, name, str(tmp_path))).read_bytes() == file.read_bytes()


def test_without_the_model_the_page_with_its_pictures_of_the_data_is_not_sent(job, server, experiment):
    args = LoggerArgs(mlflow=MLflowArgs(tracking_uri=server.uri, experiment_name=experiment))
    result = job.run(steps=1, logger_args=args, page=write_page)
    assert result.report == job.out.page
    client = MlflowClient(server.uri)
    kept = {file.path for file in client.list_artifacts(only_run(client, experiment).info.run_id)}
    assert kept == {"metrics.json", "per_class.csv", "train.log"}


def test_a_server_that_dies_while_the_page_is_written_costs_one_warning(job, server, experiment, monkeypatch, caplog):
    # MLflow's own way to give up sooner than in minutes.
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")

    def page_and_kill(result: TrainResult, device: torch.device) -> Path:
        wait_for_model(server, experiment)
        server.kill()
        monkeypatch.setattr("lt_train.loggers.remote.END_SECONDS", 2.0)
        return write_page(result, device)

    args = MLflowArgs(tracking_uri=server.uri, experiment_name=experiment, log_model=True)
    with caplog.at_level(logging.INFO):
        result = job.run(steps=1, logger_args=LoggerArgs(mlflow=args), page=page_and_kill)
    assert result.report == job.out.page
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warnings) == 1
    assert warnings[0].startswith("MLflow: ")
    assert "MLflow: 1 values were dropped" in caplog.text


def test_class_names_that_mlflow_does_not_take_are_written_otherwise_and_stay_different(job, server, experiment):
    task = attrs.evolve(job.task, classes=attrs.evolve(job.task.classes, names=("rot(e)", "rot:e:", "rot_e_")))
    args = LoggerArgs(mlflow=MLflowArgs(tracking_uri=server.uri, experiment_name=experiment))
    attrs.evolve(job, task=task).run(steps=1, logger_args=args, metric_args=MetricArgs(classwise=True))
    metrics = only_run(MlflowClient(server.uri), experiment).data.metrics
    found = sorted(name for name in metrics if name.startswith("val_metric/recall/"))
    assert found[0] == "val_metric/recall/rot_e_"
    assert len(found) == 3
    assert all(name.startswith("val_metric/recall/rot_e_-") for name in found[1:])


def test_a_resumed_run_goes_on_in_the_same_mlflow_run_and_no_step_is_there_twice(job, server, experiment, monkeypatch):
    common = {
        "steps": 9,
        "logger_args": LoggerArgs(
            mlflow=MLflowArgs(tracking_uri=server.uri, experiment_name=experiment),
            log_every_num_steps=1,
            val_every_num_steps=2,
        ),
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
    client = MlflowClient(server.uri)
    before = only_run(client, experiment)
    assert before.info.status == "FAILED"
    assert history(client, before.info.run_id, "train_loss").keys() == set(range(1, 8))
    job.run(resume=True, **common)
    after = only_run(client, experiment)
    assert after.info.run_id == before.info.run_id
    assert after.info.status == "FINISHED"
    for name in ("train_loss", "val_loss"):
        assert history(client, after.info.run_id, name) == pytest.approx(lines_of(job, name))


def test_run_id_names_a_run_that_is_written_into(job, server):
    client = MlflowClient(server.uri)
    run_id = client.create_run(client.create_experiment("by hand")).info.run_id
    job.run(steps=1, logger_args=LoggerArgs(mlflow=MLflowArgs(tracking_uri=server.uri, run_id=run_id)))
    assert only_run(client, "by hand").info.run_id == run_id
    assert "train_loss" in client.get_run(run_id).data.metrics


def test_an_experiment_keeps_its_files_where_it_was_told_to(job, tmp_path, monkeypatch):
    monkeypatch.setattr("lt_train.loggers.remote.END_SECONDS", 60.0)
    store = f"sqlite:///{tmp_path / 'local.db'}"
    files = (tmp_path / "kept").as_uri()
    job.run(steps=1, logger_args=LoggerArgs(mlflow=MLflowArgs(tracking_uri=store, artifact_location=files)))
    run = only_run(MlflowClient(store), "lightly-train")
    assert run.info.artifact_uri.startswith(files)
    assert list((tmp_path / "kept").rglob("metrics.json"))


def test_a_server_that_dies_in_the_middle_costs_one_warning_and_the_values_are_counted(
    job, server, experiment, monkeypatch, caplog, capfd
):
    real = lt_train.run.Run.step

    def step_and_kill(self, state, batches):
        if state.step == 3:
            wait_for_values(server, experiment)
            server.kill()
        return real(self, state, batches)

    monkeypatch.setattr(lt_train.run.Run, "step", step_and_kill)
    monkeypatch.setattr("lt_train.loggers.remote.END_SECONDS", 2.0)
    args = MLflowArgs(tracking_uri=server.uri, experiment_name=experiment)
    with caplog.at_level(logging.INFO):
        result = job.run(logger_args=LoggerArgs(mlflow=args, log_every_num_steps=1, val_every_num_steps=6))
    assert result.best_step == 6
    assert len(lines_of(job, "train_loss")) == 6
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warnings) == 1
    assert warnings[0].startswith("MLflow: ")
    # Three steps of three values, five of the validation at least, three files.
    (counted,) = [record.getMessage() for record in caplog.records if "values were dropped" in record.getMessage()]
    assert int(counted.split()[1]) >= 17
    assert "Retrying" not in capfd.readouterr().err


def wait_for_values(server, experiment) -> None:
    client = MlflowClient(server.uri)
    give_up = time.monotonic() + 60
    while True:
        found = client.get_experiment_by_name(experiment)
        runs = client.search_runs([found.experiment_id]) if found is not None else []
        if runs and "train_loss" in runs[0].data.metrics:
            return
        assert time.monotonic() < give_up
        time.sleep(0.1)


def wait_for_model(server, experiment) -> None:
    client = MlflowClient(server.uri)
    give_up = time.monotonic() + 60
    while True:
        found = client.get_experiment_by_name(experiment)
        runs = client.search_runs([found.experiment_id]) if found is not None else []
        if runs and client.list_artifacts(runs[0].info.run_id, "model"):
            return
        assert time.monotonic() < give_up
        time.sleep(0.1)


def test_a_server_that_was_never_there_stops_nothing(job, caplog):
    args = MLflowArgs(tracking_uri="http://127.0.0.1:9")
    began = time.monotonic()
    with caplog.at_level(logging.INFO):
        job.run(steps=1, logger_args=LoggerArgs(mlflow=args))
    assert time.monotonic() - began < END_SECONDS + 20
    assert [record.levelno for record in caplog.records if record.getMessage().startswith("MLflow: ")] == [30, 20]


def test_a_server_that_never_answers_keeps_no_more_than_the_queue_holds_and_every_value_is_counted(
    job, monkeypatch, caplog
):
    monkeypatch.setattr("lt_train.loggers.remote.END_SECONDS", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        args = LoggerArgs(mlflow=MLflowArgs(tracking_uri=f"http://127.0.0.1:{silent.getsockname()[1]}"))
        job.out.prepare()
        with (
            caplog.at_level(logging.INFO),
            open_loggers(args, job.out, resume_step=0, enabled=True) as loggers,
        ):
            time.sleep(2)  # the thread has taken what was there and waits for the server
            loggers.log(1, {"x": 1.0})
            time.sleep(2)
            began = time.monotonic()
            for step in range(2, 2 * QUEUE_ITEMS + 1):
                loggers.log(step, {"x": 1.0})
            assert time.monotonic() - began < 5
            said = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
            assert said == [f"MLflow: is too slow, {QUEUE_ITEMS} calls wait for it; {GOES_ON}"]
    told = [record.getMessage() for record in caplog.records if record.getMessage().startswith("MLflow: ")]
    assert told[1:] == [f"MLflow: {2 * QUEUE_ITEMS} values were dropped"]


@pytest.mark.parametrize(
    ("args", "named"),
    [
        ({"tracking_uri": "http://me:secret@127.0.0.1"}, "tracking_uri.*MLFLOW_TRACKING_PASSWORD"),
        ({"run_id": "1", "run_name": "x"}, "run_name.*run_id"),
    ],
)
def test_arguments_that_cannot_be_meant_are_refused(args, named):
    with pytest.raises(ConfigError, match=named):
        MLflowArgs(**args)


def test_a_model_that_is_not_saved_cannot_be_kept(job):
    args = LoggerArgs(mlflow=MLflowArgs(log_model=True))
    with pytest.raises(TrainConfigError, match="log_model.*save_best"):
        job.run(logger_args=args, save_checkpoint_args=SaveCheckpointArgs(save_best=False))
    assert not job.out.root.exists()
