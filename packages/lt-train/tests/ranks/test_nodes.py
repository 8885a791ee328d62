from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lt_train import RunFolder, load_exported

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no process groups of this kind")

PROGRAM = Path(__file__).parent / "ranks_run.py"


def write_split(root: Path, count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for i in range(count):
        pixels = rng.integers(0, 200, (32, 32, 3), dtype=np.uint8)
        pixels[:, :, i % 3] += 40
        folder = root / ("red", "green", "blue")[i % 3]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / f"{i}.png")


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("images")
    for split, count, seed in (("train", 27, 0), ("val", 13, 1)):  # neither divides by two
        write_split(root / split, count, seed)
    return root


@pytest.fixture(scope="module")
def alone(images, programs, tmp_path_factory) -> Path:
    """The runs of one process."""
    out = tmp_path_factory.mktemp("alone")
    program = programs.start(PROGRAM, images, out, "{}", "whole", "frozen")
    assert program.wait() == 0, program.printed()
    return out


def assert_same_run(one: RunFolder, other: RunFolder) -> None:
    """Counted metrics are equal; what is summed up in another order is almost."""
    for alone, together in zip(*(folder.metrics.read_text().splitlines() for folder in (one, other)), strict=True):
        alone, together = json.loads(alone), json.loads(together)
        assert alone.keys() == together.keys()
        for name, value in alone.items():
            counted = name.endswith(("top1_acc_micro", "f1_macro", "precision_macro", "recall_macro"))
            assert together[name] == (value if counted else pytest.approx(value, rel=1e-3, abs=1e-4)), name
    for name, tensor in load_exported(one.exported_last).state.items():
        torch.testing.assert_close(load_exported(other.exported_last).state[name], tensor, rtol=1e-3, atol=1e-4)


def assert_written_once(one: RunFolder, other: RunFolder) -> None:
    """Two processes leave as many files and lines as one does."""
    first, second = (
        sorted(path.name.split(".tfevents.")[0] for path in folder.root.rglob("*")) for folder in (one, other)
    )
    assert first == second
    log = other.log.read_text()
    assert (log.count(" arguments: {"), log.count(" INFO    done: best ")) == (1, 1)


@pytest.fixture(scope="module", params=["ddp", "fsdp"])
def strategy(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def together(images, programs, strategy, tmp_path_factory) -> Path:
    """The runs of two processes; of those with whole weights the first starts the second."""
    out, processes = tmp_path_factory.mktemp(strategy), json.dumps({"devices": 2, "strategy": strategy})
    command = [PROGRAM, images, out, processes, "whole", "frozen", "interrupted"]
    for program in programs.start_ranks(*command) if strategy == "fsdp" else [programs.start(*command)]:
        assert program.wait() == 0, program.printed()
    return out


@pytest.mark.parametrize("kind", ["whole", "frozen"])
def test_two_processes_learn_from_the_same_batches_and_reach_the_metrics_of_one(alone, together, kind):
    assert_same_run(RunFolder(alone / kind), RunFolder(together / kind))


@pytest.mark.parametrize("kind", ["whole", "frozen", "interrupted"])
def test_several_processes_test_the_best_model_together_and_count_each_image_once(together, kind):
    report = json.loads(RunFolder(together / kind).report.read_text())
    best, test = report["best"], report["test"]
    assert test["step"] == best["step"]
    for name, value in best["metrics"].items():
        # A whole model may round otherwise than a sharded one, or a head alone.
        counted = name.endswith(("top1_acc_micro", "f1_macro", "precision_macro", "recall_macro"))
        expected = value if counted else pytest.approx(value, rel=1e-5)
        assert test["metrics"][name.replace("val_", "test_", 1)] == expected, name
    assert test["confusion"] == report["confusion"]
    assert sum(map(sum, test["confusion"]["counts"])) == 13


def test_two_processes_that_were_stopped_end_with_bit_identical_weights(together):
    one, other = (RunFolder(together / kind) for kind in ("whole", "interrupted"))
    first, second = (load_exported(folder.exported_last).state for folder in (one, other))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert one.metrics.read_text() == other.metrics.read_text()


@pytest.fixture
def two_nodes() -> Iterator[tuple[str, str]]:
    """Two network namespaces, joined by a cable: 10.199.0.1 and 10.199.0.2, each on its `node`."""
    if not shutil.which("ip"):
        pytest.skip("needs Linux with iproute2: there is no `ip`")
    names = (f"lt-train-{os.getpid()}-0", f"lt-train-{os.getpid()}-1")
    try:
        try:
            for name in names:
                ip("netns", "add", name)
            ip("link", "add", "node", "netns", names[0], "type", "veth", "peer", "name", "node", "netns", names[1])
            for number, name in enumerate(names, start=1):
                ip("-n", name, "address", "add", f"10.199.0.{number}/24", "dev", "node")
                for device in ("lo", "node"):
                    ip("-n", name, "link", "set", device, "up")
        except subprocess.CalledProcessError as error:
            pytest.skip(f"this account may not make network namespaces: {error.stderr.strip()}")
        yield names
    finally:
        for name in names:
            # A torchrun that is killed leaves its processes.
            for process in subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True).stdout.split():
                with suppress(ProcessLookupError):
                    os.kill(int(process), signal.SIGKILL)
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)


def run_together(commands: Sequence[Sequence[str]], folder: Path, **variables: str) -> None:
    """Run commands side by side; what does not end in time is killed, and fails the test."""
    printed = [folder / f"printed_{number}.txt" for number in range(len(commands))]
    end, processes = time.monotonic() + 100.0, []
    try:
        for command, path in zip(commands, printed, strict=True):
            with path.open("w") as stream:
                environment = {**os.environ, **variables}
                processes.append(subprocess.Popen(command, env=environment, stdout=stream, stderr=stream))
        statuses = [process.wait(end - time.monotonic()) for process in processes]
    except subprocess.TimeoutExpired:
        statuses = ["did not end"]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert not any(statuses), "\n".join([str(statuses), *(path.read_text() for path in printed)])


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], capture_output=True, text=True, check=True)


def test_two_nodes_started_by_torchrun_reach_the_metrics_of_one_process_and_only_the_first_writes(
    images, alone, two_nodes, tmp_path
):
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1"]
    torchrun += ["--master-addr", "10.199.0.1", "--master-port", "29500"]
    outs = [tmp_path / "first", tmp_path / "second"]  # as if each node had a disk of its own
    commands = []
    for rank, (node, out) in enumerate(zip(two_nodes, outs, strict=True)):
        program = [str(PROGRAM), str(images), str(out), "{}", "whole"]  # how many there are is torchrun's to say
        commands.append(["ip", "netns", "exec", node, *torchrun, "--node-rank", str(rank), *program])
    # The machine's name is 127.0.0.1 on both nodes, and there gloo would look for the other one.
    run_together(commands, tmp_path, GLOO_SOCKET_IFNAME="node")
    one, other = RunFolder(alone / "whole"), RunFolder(outs[0] / "whole")
    assert_same_run(one, other)
    assert_written_once(one, other)
    assert not outs[1].exists()


def test_two_tasks_started_by_slurm_reach_the_metrics_of_one_process_and_only_the_first_writes(
    images, alone, programs, tmp_path
):
    # Without SLURM: these are variables that `srun` of a job of one node and two tasks sets.
    port = free_port()
    job = {
        "SLURM_JOB_ID": str(port - 15_000),  # Fabric meets at port 15000 + the last four digits
        "SLURM_JOB_NAME": "train",
        "SLURM_JOB_NODELIST": "localhost",
        "SLURM_JOB_NUM_NODES": "1",
        "SLURM_NODELIST": "localhost",
        "SLURM_NODEID": "0",
        "SLURM_NNODES": "1",
        "SLURM_NTASKS": "2",
        "SLURM_NTASKS_PER_NODE": "2",
        "SLURM_STEP_ID": "0",
    }
    command = [PROGRAM, images, tmp_path, '{"devices": 2, "strategy": "ddp"}', "whole"]
    tasks = [programs.start(*command, **job, SLURM_PROCID=task, SLURM_LOCALID=task) for task in ("0", "1")]
    for task in tasks:
        assert task.wait() == 0, task.printed()
    one, other = RunFolder(alone / "whole"), RunFolder(tmp_path / "whole")
    assert_same_run(one, other)
    assert_written_once(one, other)


def free_port() -> int:
    """One of those at which Fabric lets the tasks of a SLURM job meet."""
    for port in range(15_000 + os.getpid() % 5_000, 25_000):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    pytest.fail("no port is free")
