"""What can be set about loggers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal
from urllib.parse import urlsplit

import attrs

from lt_data import ConfigError, Problem, at_least

Auto = Literal["auto"]


@attrs.frozen(kw_only=True)
class TensorBoardArgs:
    """TensorBoard event files.

    Attributes:
        name: Folder below the run folder; empty for none.
        version: Folder below `name`; empty for none.
        log_graph: Draw the model; what PyTorch cannot trace is left out with a warning.
        prefix: Put before every name, with a `/` between.
        sub_dir: Folder below `version`.
    """

    name: str = ""
    version: str = ""
    log_graph: bool = False
    prefix: str = ""
    sub_dir: str | None = None


@attrs.frozen(kw_only=True)
class JsonlArgs:
    """`metrics.jsonl`, one JSON object a line."""


@attrs.frozen(kw_only=True)
class MLflowArgs:
    """MLflow; needs the extra `mlflow`.

    Attributes:
        experiment_name: The experiment, made when there is none of that name.
        run_name: Shown name of the run; None lets MLflow choose one.
        tracking_uri: Address of the server, or a local store; None for what `MLFLOW_TRACKING_URI` says, or MLflow's own
            default. It must not hold a password: those belong into `MLFLOW_TRACKING_USERNAME` and
            `MLFLOW_TRACKING_PASSWORD`.
        tags: Tags of the run.
        log_model: Upload `exported_best.pt` at the end, and the report, which holds pictures of the data.
        prefix: Put before every metric's name, with a `/` between.
        artifact_location: Where an experiment that is made keeps its files; one that exists keeps its own.
        run_id: An existing run to write into, instead of a new one.
    """

    experiment_name: str = "lightly-train"
    run_name: str | None = None
    tracking_uri: str | None = None
    tags: dict[str, str] | None = None
    log_model: bool = False
    prefix: str = ""
    artifact_location: str | None = None
    run_id: str | None = None

    def __attrs_post_init__(self) -> None:
        problems = []
        if self.tracking_uri and urlsplit(self.tracking_uri).password is not None:
            problems.append(
                Problem(
                    "tracking_uri",
                    "would write a password into the log; set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD",
                )
            )
        if self.run_id is not None:
            taken = {"run_name": self.run_name, "artifact_location": self.artifact_location}
            problems += [
                Problem(name, "belongs to a new run, but run_id names one that exists; leave one of the two out")
                for name, value in taken.items()
                if value is not None
            ]
        if problems:
            raise ConfigError(problems)


@attrs.frozen(kw_only=True)
class WandbArgs:
    """Weights & Biases; needs the extra `wandb`.

    Attributes:
        name: Shown name of the run; None lets W&B choose one.
        version: ID of the run; a run of that ID goes on. None for a new one.
        project: The project.
        offline: Write files into the run folder and open no connection; `wandb sync` uploads them.
        anonymous: Refused: W&B has done away with anonymous runs.
        log_model: Upload `exported_best.pt` at the end, as an artifact, and as another the report, which holds pictures
            of the data.
        prefix: Put before every metric's name, with a `/` between.
        checkpoint_name: Name of that artifact; None for `model-` and the ID of the run.
    """

    name: str | None = None
    version: str | None = None
    project: str = "lightly-train"
    offline: bool = False
    anonymous: bool | None = None
    log_model: bool = False
    prefix: str = ""
    checkpoint_name: str | None = None

    def __attrs_post_init__(self) -> None:
        if self.anonymous:
            raise ConfigError(
                [Problem("anonymous", "W&B no longer has anonymous runs; run `wandb login`, or set `offline`")]
            )


@attrs.frozen(kw_only=True)
class LoggerArgs:
    """What is logged where, and how often.

    Attributes:
        log_every_num_steps: Steps between training values; auto: a hundredth of the run, 1 to 100.
        val_every_num_steps: Steps between validations; auto: one an epoch, at most 1000 steps apart, and no more than
            100 in all. The last step always validates.
        val_log_every_num_steps: Steps between validations that are logged, a multiple of `val_every_num_steps`; auto:
            every one is. The last always is, and one that is not logged may still be the best.
        tensorboard: None turns it off.
        jsonl: None turns it off.
        mlflow: None leaves it off.
        wandb: None leaves it off.
    """

    log_every_num_steps: int | Auto = attrs.field(default="auto", validator=at_least(1))
    val_every_num_steps: int | Auto = attrs.field(default="auto", validator=at_least(1))
    val_log_every_num_steps: int | Auto = attrs.field(default="auto", validator=at_least(1))
    tensorboard: TensorBoardArgs | None = TensorBoardArgs()
    jsonl: JsonlArgs | None = JsonlArgs()
    mlflow: MLflowArgs | None = None
    wandb: WandbArgs | None = None


def model_loggers(args: LoggerArgs) -> tuple[str, ...]:
    """Names of the loggers that are to keep the best model."""
    asked: Mapping[str, MLflowArgs | WandbArgs | None] = {"mlflow": args.mlflow, "wandb": args.wandb}
    return tuple(name for name, one in asked.items() if one is not None and one.log_model)
