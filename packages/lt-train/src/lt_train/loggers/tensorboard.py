"""TensorBoard event files."""

from __future__ import annotations

import io
import logging
import math
import os
import socket
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter
from torch import nn
from torch.utils.tensorboard.summary import hparams

from lt_data import Preprocessing
from lt_train.loggers.base import MetricLogger, Outcome, Picture, Scalar
from lt_train.loggers.config import TensorBoardArgs
from lt_train.loggers.whole_file import WholeFile

logger = logging.getLogger(__name__)

EVENT_FILES = "events.out.tfevents.*"


class TensorBoardLogger(MetricLogger):
    """Writes scalars and pictures; steps that a resumed run repeats are purged from its curves.

    The caller's thread writes: the one that PyTorch's `SummaryWriter` has of its own dies when the disk is full.
    """

    def __init__(self, root: Path, args: TensorBoardArgs, *, resume_step: int) -> None:
        folder = root / args.name / args.version / (args.sub_dir or "")
        folder.mkdir(parents=True, exist_ok=True)
        if not resume_step:
            for replaced in folder.glob(EVENT_FILES):
                replaced.unlink()
        self._log_graph = args.log_graph
        self._prefix = f"{args.prefix}/" if args.prefix else ""
        self._file = WholeFile(folder / f"events.out.tfevents.{time.time_ns()}.{socket.gethostname()}.{os.getpid()}")
        self._records = RecordWriter(self._file)
        self._undrawn: list[tuple[int, str, Picture]] = []
        self._write(0, file_version="brain.Event:2")
        if resume_step:
            self._write(resume_step + 1, session_log=SessionLog(status=SessionLog.START))

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Write each value as a scalar; NaN leaves a gap."""
        scalars = [
            Summary.Value(tag=self._prefix + name, simple_value=value)
            for name, value in values.items()
            if not math.isnan(value)
        ]
        self._write(step, summary=Summary(value=scalars))
        self._draw()

    def parameters(self, parameters: Mapping[str, Scalar]) -> None:
        """Write them for the tab of hyper-parameters."""
        for summary in hparams(dict(parameters), {}):  # type: ignore[no-untyped-call]  # torch gives it no types
            self._write(0, summary=summary)

    def picture(self, step: int, name: str, picture: Picture) -> None:
        """Write a picture; one from before the first step is drawn behind the first values, to hold up no step."""
        self._undrawn.append((step, name, picture))
        if step:
            self._draw()

    def _draw(self) -> None:
        while self._undrawn:
            step, name, picture = self._undrawn.pop(0)
            drawn, png = picture(), io.BytesIO()
            drawn.save(png, "PNG")
            image = Summary.Image(
                height=drawn.height, width=drawn.width, colorspace=3, encoded_image_string=png.getvalue()
            )
            self._write(step, summary=Summary(value=[Summary.Value(tag=self._prefix + name, image=image)]))

    def graph(self, model: nn.Module, inputs: Preprocessing) -> None:
        """Write the graph of a model, if it is asked for."""
        if not self._log_graph:
            return
        from torch.utils.tensorboard._pytorch_graph import graph

        image = torch.zeros(1, inputs.num_channels, *inputs.image_size, device=next(model.parameters()).device)
        try:
            # Tracing tells of each Python value that it takes as constant; of a picture of the model that is no news.
            with warnings.catch_warnings(), torch.no_grad():
                warnings.simplefilter("ignore")
                drawn = graph(model, (image,), use_strict_trace=False)[0]  # type: ignore[no-untyped-call]  # nor it
        # Models of many authors refuse to be traced by exceptions of many types.
        except Exception as error:
            logger.warning("tensorboard.log_graph: PyTorch cannot trace this model, no graph is drawn: %s", error)
            return
        self._write(0, graph_def=drawn.SerializeToString())

    def close(self, outcome: Outcome = "finished") -> None:
        """Close the file."""
        self._file.close()

    def _write(self, step: int, **content: Any) -> None:
        self._records.write(Event(wall_time=time.time(), step=step, **content).SerializeToString())
