"""MLflow, through its client."""

from __future__ import annotations

import hashlib
import logging
import os
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

# MLflow decides when it is imported whether it reports its use to its makers.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from lt_train.loggers.base import Outcome, Scalar
from lt_train.loggers.config import MLflowArgs
from lt_train.loggers.service import Rows
from lt_train.loggers.tracking import TrackingFile

NAME_CHARACTERS = 250
DIGEST_CHARACTERS = 6
PARAMETER_CHARACTERS = 500
"""Of a value; servers before 2.8 take no more."""

PARAMETERS_A_CALL = 100
METRICS_A_CALL = 1000

TALKATIVE = ("mlflow", "alembic", "urllib3")
"""What the client logs under."""

STATUS: Mapping[Outcome, str] = {"finished": "FINISHED", "failed": "FAILED", "stopped": "KILLED"}


class MLflowService:
    """A run on an MLflow server, or in a local store of MLflow's."""

    def __init__(self, args: MLflowArgs, tracking: TrackingFile, *, resumed: bool) -> None:
        self._args, self._tracking, self._resumed = args, tracking, resumed
        self._prefix = f"{args.prefix}/" if args.prefix else ""
        self._client: MlflowClient | None = None
        self._run_id = ""
        self._sent: dict[str, set[int]] = {}

    def connect(self) -> None:
        """Make a run, or go on with the one that is noted, or asked for."""
        if self._run_id:
            return
        _silence_this_thread()
        if self._client is None:
            self._client = MlflowClient(tracking_uri=self._args.tracking_uri)
        known = self._tracking.noted("mlflow").get("run_id") if self._resumed else None
        known = known or self._args.run_id
        if known is not None:
            self._client.update_run(known, status="RUNNING")
            tags = [RunTag(_name(key), str(value)) for key, value in (self._args.tags or {}).items()]
            if tags:
                self._client.log_batch(known, tags=tags)
            # Whatever wrote into the run before, no step is to be in it twice.
            self._resumed = True
        run_id = known or self._new_run(self._client)
        self._tracking.note("mlflow", run_id=run_id)
        self._run_id = run_id

    def send(self, rows: Rows) -> None:
        """Send values in as few calls as the server allows."""
        client, now = self._connected(), time.time_ns() // 1_000_000
        metrics = [
            Metric(self._metric(name), value, now, step)
            for step, values in rows
            for name, value in values.items()
            if step not in self._already_sent(self._metric(name))
        ]
        for start in range(0, len(metrics), METRICS_A_CALL):
            client.log_batch(self._run_id, metrics=metrics[start : start + METRICS_A_CALL])

    def send_parameters(self, parameters: Mapping[str, Scalar]) -> None:
        """Send them, cut to what a server takes; MLflow never changes one, so a run that goes on keeps its own."""
        client = self._connected()
        there = set(client.get_run(self._run_id).data.params) if self._resumed else set()
        new = [
            Param(_name(key), str(value)[:PARAMETER_CHARACTERS])
            for key, value in parameters.items()
            if _name(key) not in there
        ]
        for start in range(0, len(new), PARAMETERS_A_CALL):
            client.log_batch(self._run_id, params=new[start : start + PARAMETERS_A_CALL])

    def send_files(self, files: Sequence[Path], model: Path | None) -> None:
        """Upload files, and the model into the folder `model`."""
        client = self._connected()
        for file in files:
            client.log_artifact(self._run_id, str(file))
        if model is not None:
            client.log_artifact(self._run_id, str(model), "model")

    def send_report(self, page: Path) -> None:
        """Upload the page beside the files."""
        self._connected().log_artifact(self._run_id, str(page))

    def end(self, outcome: Outcome) -> None:
        """Set the status of the run."""
        # set_terminated would do the same and print an address.
        self._connected().update_run(self._run_id, status=STATUS[outcome])

    def _new_run(self, client: MlflowClient) -> str:
        args = self._args
        found = client.get_experiment_by_name(args.experiment_name)
        if found is None:
            try:
                client.create_experiment(args.experiment_name, args.artifact_location)
            except MlflowException as error:
                # Another run was faster.
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
            found = client.get_experiment_by_name(args.experiment_name)
        assert found is not None
        run_id: str = client.create_run(found.experiment_id, tags=args.tags, run_name=args.run_name).info.run_id
        return run_id

    def _already_sent(self, name: str) -> set[int]:
        """Steps of a metric that the run had before this process began."""
        if not self._resumed:
            return set()
        if name not in self._sent:
            history = self._connected().get_metric_history(self._run_id, name)
            self._sent[name] = {metric.step for metric in history}
        return self._sent[name]

    def _metric(self, name: str) -> str:
        return _name(self._prefix + name)

    def _connected(self) -> MlflowClient:
        assert self._client is not None
        return self._client


def _name(name: str) -> str:
    """A name with only the characters that every MLflow server takes, and different for different names."""
    kept = "".join(c if c.isalnum() or c in "_-. /" else "_" for c in name)
    if kept == name and len(kept) <= NAME_CHARACTERS:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:DIGEST_CHARACTERS]
    return f"{kept[: NAME_CHARACTERS - DIGEST_CHARACTERS - 1]}-{digest}"


class _Except(logging.Filter):
    """Keeps back what the client logs in our thread: what it has to tell is told once, by us.

    By its name too, since a program's handler may be at the client's logger and at ours.
    """

    def __init__(self, thread: threading.Thread) -> None:
        super().__init__()
        self._thread = thread

    def filter(self, record: logging.LogRecord) -> bool:
        ours = record.name.partition(".")[0] not in TALKATIVE
        return ours or record.thread != self._thread.ident or not self._thread.is_alive()


def _silence_this_thread() -> None:
    thread = threading.current_thread()
    talkative: list[logging.Filterer] = [logging.getLogger("urllib3.connectionpool")]
    talkative += [handler for name in TALKATIVE for handler in logging.getLogger(name).handlers]
    for one in talkative:
        if not any(isinstance(known, _Except) and known._thread is thread for known in one.filters):
            one.addFilter(_Except(thread))
