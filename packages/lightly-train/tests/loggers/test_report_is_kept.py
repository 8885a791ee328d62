"""The report of a run in MLflow and in offline W&B."""

from __future__ import annotations

import os

import pytest

if os.environ.get("LT_TRAIN_SERVICES") != "needed":
    pytest.importorskip("mlflow", reason='needs "lightly-train[mlflow]"', exc_type=ImportError)
    pytest.importorskip("wandb", reason='needs "lightly-train[wandb]"', exc_type=ImportError)

from mlflow.tracking import MlflowClient  # only where it is installed


@pytest.fixture(autouse=True)
def patient(monkeypatch, tmp_path):
    # On a busy machine the end of a tiny run comes before its first value is sent.
    for module in ("remote", "wandb"):
        monkeypatch.setattr(f"lt_train.loggers.{module}.END_SECONDS", 60.0)
    for name in ("WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "home"))


def interrupt(*arguments: object) -> None:
    raise InterruptedError


def test_the_report_lies_beside_the_model_in_the_same_run_also_when_the_run_is_resumed(run, tmp_path, monkeypatch):
    store = f"sqlite:///{tmp_path / 'local.db'}"
    loggers = {
        "mlflow": {"tracking_uri": store, "artifact_location": (tmp_path / "kept").as_uri(), "log_model": True},
        "wandb": {"offline": True, "log_model": True, "version": "abc123"},
    }
    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr("lt_train.run.Run.report", interrupt)
        with pytest.raises(InterruptedError):
            run(out, logger_args=loggers)
    client = MlflowClient(store)
    experiment = client.get_experiment_by_name("lightly-train").experiment_id
    (before,) = client.search_runs([experiment])
    assert client.list_artifacts(before.info.run_id) == []
    result = run(out, logger_args=loggers, resume_interrupted=True)
    (after,) = client.search_runs([experiment])
    assert after.info.run_id == before.info.run_id
    (kept,) = (tmp_path / "kept").iterdir()
    files = {path.name: path for path in kept.rglob("*") if path.is_file()}
    assert files.keys() == {"report.html", "metrics.json", "per_class.csv", "train.log", "exported_best.pt"}
    assert files["report.html"].read_bytes() == result.report.read_bytes()
    (written,) = (
        file for file in (out / "wandb").glob("offline-run-*/*.wandb") if b"report-abc123" in file.read_bytes()
    )
    assert b"files-abc123" in written.read_bytes()
    assert result.report.read_bytes() in [
        path.read_bytes() for path in (tmp_path / "home").rglob("*") if path.is_file()
    ]
