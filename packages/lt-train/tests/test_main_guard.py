"""Scripts on systems that start workers by importing the script again; the check alone, without a run."""

from __future__ import annotations

import subprocess
import sys

import pytest

CHECK = "check_main_guard({num_workers}, {context!r}); print('trains')\n"


def script(folder, before="", num_workers=2, context="spawn", after=""):
    check = CHECK.format(num_workers=num_workers, context=context)
    program = f"from lt_train.main_guard import check_main_guard\n{before}{check}{after}"
    (folder / "мой script.py").write_text(program, encoding="utf-8")
    return subprocess.run([sys.executable, "мой script.py"], cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", ""),
        ("def main():\n    ", "main()\n"),
        ('if __name__ == "__main__":\n    print("first")\n', ""),
        ("if True:\n    ", ""),
    ],
    ids=["bare", "in a function", "after a guarded line", "below another question"],
)
def test_a_script_that_would_train_when_imported_is_refused_with_its_line(tmp_path, before, after):
    done = script(tmp_path, before, after=after)
    assert done.returncode == 1
    assert "trains" not in done.stdout
    assert 'if __name__ == "__main__":' in done.stderr
    line = 4 if after else 1 + len(f"{before}.".splitlines())
    assert f"мой script.py, line {line}: " in done.stderr


@pytest.mark.parametrize(
    "changes",
    [
        {"before": 'if __name__ == "__main__":\n    '},
        {"before": "def main():\n    ", "after": 'if "__main__" == __name__ and True:\n    main()\n'},
        {"before": 'if __name__ != "__main__":\n    raise SystemExit\n'},
        {"num_workers": 0},
        {"context": "fork"},
    ],
    ids=["guarded", "a guarded call of a function", "left before", "no workers", "forked"],
)
def test_a_script_that_does_not_is_left_alone(tmp_path, changes):
    done = script(tmp_path, **changes)
    assert (done.returncode, done.stdout) == (0, "trains\n"), done.stderr


def test_a_program_without_a_file_is_left_alone():
    program = "from lt_train.main_guard import check_main_guard; check_main_guard(2, 'spawn')"
    subprocess.run([sys.executable, "-c", program], check=True)
