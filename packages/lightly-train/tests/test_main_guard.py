"""Scripts on systems that start workers by importing the script again, tried here with spawn.

That a program with the guard trains there, the command shows in `cli/test_whole_path.py`.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

CALL = """train(
    out="run", data={data!r}, model="timm/test_resnet-notpretrained", steps=2, batch_size=6, num_workers=1,
    transform_args={{"image_size": (32, 32)}}, loader_args={{"multiprocessing_context": "spawn"}}, accelerator="cpu"
)
"""


@pytest.fixture
def script(tmp_path, data):
    """Runs a script that trains, in a folder with a name of spaces and letters."""

    def run(before=""):
        where = {"train": str(data["train"]), "val": str(data["val"])}
        program = f"from lightly_train import train_image_classification as train\n{before}{CALL.format(data=where)}"
        (tmp_path / "мой script.py").write_text(program, encoding="utf-8")
        command = [sys.executable, "мой script.py"]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=100)

    return run


def test_a_script_without_the_guard_ends_with_a_sentence_before_anything_is_started(script, tmp_path):
    done = script()
    assert done.returncode == 1
    assert 'if __name__ == "__main__":' in done.stderr
    assert done.stderr.count("Traceback") == 1
    assert len(done.stderr.splitlines()) < 20
    assert not (tmp_path / "run").exists()


def test_a_spawned_process_that_comes_to_the_call_ends_at_once_with_the_sentence(script):
    """What stands before the call would hide it from whoever looks at the script's text."""
    done = script('if __name__ != "another":\n  pass\n')
    assert done.returncode == 1
    assert 'if __name__ == "__main__":' in done.stderr
    assert "bootstrapping phase" not in done.stderr
