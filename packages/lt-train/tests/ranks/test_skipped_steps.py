from __future__ import annotations

import sys

import pytest

RANKS = """
import sys, torch
from lightning_fabric import Fabric
from lt_train.finite import FiniteGuard
from lt_train.state import TrainState

fabric = Fabric(accelerator="cpu", devices=2, strategy="ddp")
fabric.launch()
torch.manual_seed(0)
plain = torch.nn.Linear(2, 1)
raw = torch.optim.AdamW(plain.parameters())
model, optimizer = fabric.setup(plain, raw)
guard, state = FiniteGuard(fabric, plain, raw), TrainState.fresh(fabric.device, None)
for step in range(4):
    guard.begin()
    loss = model(torch.ones(3, 2)).square().mean()
    fabric.backward(loss)
    # The gradient is finite everywhere, the reported loss of one rank is not.
    broken = step == 1 and fabric.global_rank == 1
    guard.step(optimizer, state, loss.detach() + (torch.inf if broken else 0.0), torch.ones(()))
    optimizer.zero_grad()
sys.stdout.write(f"{state.skipped.item()} {plain.weight.tolist()}\\n")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no process groups of this kind")
def test_all_ranks_skip_the_same_steps(tmp_path, programs):
    (tmp_path / "program.py").write_text(RANKS)
    ranks = programs.start_ranks(tmp_path / "program.py")
    for rank in ranks:
        assert rank.wait() == 0, rank.printed()
    first, second = (next(line for line in rank.printed().splitlines() if line.endswith("]")) for rank in ranks)
    assert first == second
    assert first.startswith("1.0 ")
