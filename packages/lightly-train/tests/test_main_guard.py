"""Scripts on systems that start workers by importing the script again, tried here with spawn."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

CALL = """train(
    out="run", data={data!r}, model="timm/test_resnet-notpretrained", steps=2, batch_size=6, num_workers=2,
    transform_args={{"image_size": (32, 32)}}, loader_args={{"multiprocessing_context": {context!r}}}, accelerator="cpu"
)
"""


def script(tmp_path, data, *, before="", call="{call}", context="spawn"):
    folder = tmp_path / "мой script"
    folder.mkdir(exist_ok=True)
    where = {"train": str(data["train"]), "val": str(data["val"])}
    text = CALL.format(data=where, context=context)
    program = f"from lightly_train import train_image_classification as train\n{before}{call.format(call=text)}"
    (folder / "run.py").write_text(program, encoding="utf-8")
    return subprocess.run(
        [sys.executable, "run.py"], cwd=folder, capture_output=True, text=True, check=False, timeout=100
    )


@pytest.mark.parametrize(
    ("before", "call"),
    [
        ("", "{call}"),
        ("def main():\n    return ", "{call}\nmain()\n"),
        ('if __name__ == "__main__":\n    print("first")\n', "{call}"),
    ],
    ids=["plain", "in a function", "after a guarded line"],
)
def test_a_script_without_the_guard_ends_with_a_sentence_before_anything_is_started(tmp_path, data, before, call):
    done = script(tmp_path, data, before=before, call=call)
    assert done.returncode == 1
    assert 'if __name__ == "__main__":' in done.stderr
    assert done.stderr.count("Traceback") == 1
    assert len(done.stderr.splitlines()) < 25
    assert not (tmp_path / "мой script" / "run").exists()


def test_a_script_with_the_guard_trains_with_spawned_workers(tmp_path, data):
    done = script(tmp_path, data, before='if __name__ == "__main__":\n  ')
    assert done.returncode == 0, done.stderr


def test_a_script_without_the_guard_trains_where_workers_are_forked(tmp_path, data):
    if sys.platform != "linux":
        pytest.skip("only Linux forks")
    done = script(tmp_path, data, context="fork")
    assert done.returncode == 0, done.stderr


def test_a_spawned_process_that_comes_to_the_call_ends_at_once_with_the_sentence(tmp_path, data):
    """The script hides its call from whoever looks at its text."""
    hide = 'import __main__, types\nif __name__ != "another": pass\n'
    begun = time.monotonic()
    done = script(tmp_path, data, before=hide)
    assert time.monotonic() - begun < 60
    assert done.returncode == 1
    assert 'if __name__ == "__main__":' in done.stderr
    assert "bootstrapping phase" not in done.stderr
