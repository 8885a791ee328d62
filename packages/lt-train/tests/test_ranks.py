from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import numpy as np
from lightning_fabric import Fabric
from lt_data import structure
from lt_train import MetricArgs
from lt_train.metrics.build import make_tally
from lt_train.metrics.plan import plan_metrics
from lt_train.ranks import FabricRanks

fabric = Fabric(accelerator="cpu", devices=2, strategy="ddp")
fabric.launch()
rng = np.random.default_rng(0)
scores = rng.random((11, 3)).astype(np.float32).round(1)
losses = rng.exponential(3.0, 11).astype(np.float32)
targets = {"multiclass": rng.integers(0, 3, 11), "multilabel": rng.integers(0, 2, (11, 3)).astype(np.float32)}
for task, truth in targets.items():
    for share in (4, 11):
        plan = plan_metrics(MetricArgs(classwise=True), task, ("a", "b", "c"))
        whole, part = make_tally(plan), make_tally(plan)
        mine = slice(0, share) if fabric.global_rank == 0 else slice(share, 11)
        for tally, some in ((whole, slice(None)), (part, mine)):
            tally.update(scores[some], truth[some])
            tally.update_loss(losses[some])
        part.reduce(FabricRanks(fabric))
        np.testing.assert_equal(part.values(), whole.values())
        assert part.mean_loss() == whole.mean_loss()
        np.testing.assert_array_equal(part.table().confusion, whole.table().confusion)
print("equal", flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Fabric starts its processes anew, which takes long there")
def test_two_processes_with_shares_of_different_size_have_the_metrics_of_one(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    done = subprocess.run([sys.executable, tmp_path / "program.py"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("equal") == 2
