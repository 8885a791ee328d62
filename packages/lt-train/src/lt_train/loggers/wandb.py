"""Weights & Biases, through its client."""

from __future__ import annotations

import netrc
import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

# Read when wandb is imported: no reports of its errors to its makers, and no lines of its own on the screen.
os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
os.environ.setdefault("WANDB_SILENT", "true")

import attrs
import wandb

from lt_train.errors import TrainConfigError
from lt_train.loggers.base import Outcome, Scalar
from lt_train.loggers.config import WandbArgs
from lt_train.loggers.remote import END_SECONDS, UPLOAD_SECONDS
from lt_train.loggers.service import Rows
from lt_train.loggers.tracking import TrackingFile

CONFIG_CHARACTERS = 1000
"""Of a value."""

CONNECT_SECONDS = 10.0
"""A process that ends while W&B connects waits so long."""

EXIT_STATUS: Mapping[Outcome, int] = {"finished": 0, "failed": 1, "stopped": 255}


def check_login(args: WandbArgs) -> None:
    """Refuse what would make wandb ask for a password in the middle of a run.

    Raises:
        TrainConfigError: There is no account to log into.
    """
    if args.offline or os.environ.get("WANDB_MODE") in ("offline", "disabled", "dryrun"):
        return
    if any(os.environ.get(name) for name in ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE")):
        return
    host = urlsplit(wandb.Settings().base_url).hostname or ""
    for file in filter(None, (os.environ.get("NETRC"), "~/.netrc", "~/_netrc")):
        try:
            if netrc.netrc(Path(file).expanduser()).authenticators(host):
                return
        except (OSError, netrc.NetrcParseError):
            continue
    raise TrainConfigError(
        f"logger_args.wandb: nobody is logged in to {host}; run `wandb login`, set WANDB_API_KEY, or set `offline`"
    )


@attrs.frozen
class Sent:
    """What a run has sent already.

    Attributes:
        to_step: The last step.
        names: What of that step; None is all. A validation that a stop put off is logged when the run is resumed, with
            a step whose other values have been sent.
    """

    to_step: int = 0
    names: frozenset[str] | None = None

    @classmethod
    def noted(cls, notes: Mapping[str, Any]) -> Sent:
        """As `tracking.json` has it."""
        names = notes.get("sent_names")
        return cls(int(notes.get("sent_to_step", 0)), None if names is None else frozenset(names))

    def as_far_as(self, step: int) -> Sent:
        """What of it has come through, when W&B has come as far as a step."""
        return self if self.names is not None and self.to_step <= step else Sent(step)

    def left_out(self, step: int, values: Mapping[str, float]) -> dict[str, float]:
        """Values of a row that have not been sent."""
        if step < self.to_step or (step == self.to_step and self.names is None):
            return {}
        known = self.names if step == self.to_step and self.names else frozenset()
        return {name: value for name, value in values.items() if name not in known}

    def with_row(self, step: int, values: Mapping[str, float]) -> Sent:
        """The same after a row."""
        before = self.names if step == self.to_step and self.names else frozenset()
        return Sent(step, before | values.keys())


class WandbService:
    """A run on W&B, or its files in the run folder."""

    def __init__(self, args: WandbArgs, folder: Path, tracking: TrackingFile, *, resumed: bool) -> None:
        self._args, self._folder, self._tracking = args, folder, tracking
        self._prefix = f"{args.prefix}/" if args.prefix else ""
        noted = tracking.noted("wandb") if resumed else {}
        self._id = str(noted.get("run_id") or args.version or secrets.token_hex(4))
        self._sent = Sent.noted(noted)
        self._run: Any = None

    def connect(self) -> None:
        """Start the run, or go on with the one of that ID."""
        if self._run is not None:
            return
        self._tracking.note("wandb", run_id=self._id)
        self._run = wandb.init(
            id=self._id,
            name=self._args.name,
            project=self._args.project,
            dir=str(self._folder),
            resume=None if self._args.offline else "allow",
            mode="offline" if self._args.offline else None,
            settings=_settings(self._args),
        )
        if not self._run.offline:
            self._sent = self._sent.as_far_as(self._run.starting_step - 1)

    def send(self, rows: Rows) -> None:
        """Send values.

        W&B ignores a step before the one with which a run goes on: a validation that was put off is told with that one.
        """
        fresh = [(step, new) for step, values in rows if (new := self._sent.left_out(step, values))]
        if not fresh:
            return
        sent = self._sent
        for step, values in fresh:
            sent = sent.with_row(step, values)
        # Noted first: a run killed in between must not send a step again.
        self._tracking.note("wandb", sent_to_step=sent.to_step, sent_names=sorted(sent.names or ()))
        for step, values in fresh:
            named = {self._prefix + name: value for name, value in values.items()}
            self._run.log(named, step=max(step, self._run.starting_step))
        self._sent = sent

    def send_parameters(self, parameters: Mapping[str, Scalar]) -> None:
        """Send them as the configuration of the run."""
        short = {
            key: value[:CONFIG_CHARACTERS] if isinstance(value, str) else value for key, value in parameters.items()
        }
        self._run.config.update(short, allow_val_change=True)

    def send_files(self, files: Sequence[Path], model: Path | None) -> None:
        """Upload files as one artifact, and the model as another."""
        self._upload(f"files-{self._id}", "run-files", files)
        if model is not None:
            self._upload(self._args.checkpoint_name or f"model-{self._id}", "model", [model])

    def send_report(self, page: Path) -> None:
        """Upload the page as an artifact of its own: it comes later than the files."""
        self._upload(f"report-{self._id}", "report", [page])

    def end(self, outcome: Outcome) -> None:
        """End the run; what is not uploaded by then stays in its files, which `wandb sync` uploads."""
        self._run.finish(exit_code=EXIT_STATUS[outcome])

    def _upload(self, name: str, kind: str, files: Sequence[Path]) -> None:
        artifact = wandb.Artifact(name, type=kind)
        for file in files:
            artifact.add_file(str(file))
        self._run.log_artifact(artifact)


def _settings(args: WandbArgs) -> wandb.Settings:
    """Nothing but what the run logs: no machine, user, code, packages, console or system statistics."""
    # Offline nothing but the disk is waited for.
    patient = args.offline or args.log_model
    return wandb.Settings(
        silent=True,
        console="off",
        disable_git=True,
        disable_code=True,
        disable_job_creation=True,
        x_disable_meta=True,
        x_disable_stats=True,
        x_disable_machine_info=True,
        x_save_requirements=False,
        host="not told",
        username="not told",
        init_timeout=UPLOAD_SECONDS if args.offline else CONNECT_SECONDS,
        finish_timeout=END_SECONDS + (UPLOAD_SECONDS if patient else 0.0),
    )
