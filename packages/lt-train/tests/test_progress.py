from __future__ import annotations

import io
import logging
import re

import pytest
from rich.console import Console

from lt_train.progress import RunProgress
from lt_train.run_log import console_log


@pytest.mark.parametrize("width", [60, 80, 200])
def test_a_terminal_of_any_width_gets_one_live_line_with_steps_eta_and_values(width):
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=width, color_system=None)
    progress = RunProgress(console, first=0, total=10_000)
    with progress.shown():
        progress.advance(5_000)
        progress.report(5_000, {"train_loss": 0.25, "learning_rate": 1e-3, "gradient_norm": 1.0})
    last = [line for line in screen.getvalue().replace("\r", "\n").splitlines() if "5000/10000" in line][-1]
    assert re.search(r"ETA (-:--:--|0:\d\d:\d\d)", last)
    assert "train_loss" in last


def test_elsewhere_plain_lines_appear_now_and_then_with_the_eta(caplog):
    progress = RunProgress(Console(file=io.StringIO(), force_terminal=False), first=0, total=10)
    with caplog.at_level(logging.INFO), progress.shown():
        for step in range(1, 11):
            progress.advance(step)
            progress.report(step, {"train_loss": 0.25})
            if step == 5:
                progress.report(step, {"val_metric/top1_acc_micro": 0.5}, always=True, note="(best)")
    assert caplog.messages == ["step 5/10  top1_acc_micro 0.5  (best)  ETA 0:00:00", "step 10/10  train_loss 0.25"]


def test_our_lines_reach_the_console_unless_the_program_logs_by_itself(monkeypatch):
    console = Console(file=io.StringIO(), width=200)
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    with console_log(console):
        logging.getLogger("lt_data.index").info("found [it]")
        logging.getLogger("lt_data.index").debug("detail")
    logging.getLogger("lt_data.index").info("later")
    assert console.file.getvalue() == "found [it]\n"
    monkeypatch.setattr(logging.getLogger(), "handlers", [logging.NullHandler()])
    with console_log(console):
        logging.getLogger("lt_data.index").info("again")
    assert console.file.getvalue() == "found [it]\n"
