from __future__ import annotations

import shutil
import subprocess

import pytest

TRY = """
source "$1"
shift
function=$(complete -p lightly-train | sed 's/.*-F \\([^ ]*\\).*/\\1/')
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}
$function lightly-train "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""

bash = pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")


@pytest.fixture
def script(call, tmp_path, monkeypatch):
    """The installed script for bash."""
    monkeypatch.setenv("HOME", str(tmp_path))
    done = call("--install-completion", "--shell", "bash")
    assert done.status == 0, done.err
    (found,) = (path for path in tmp_path.rglob("lightly-train*") if path.is_file())
    return found


@bash
def test_the_script_is_one_that_bash_accepts(script):
    subprocess.run(["bash", "-n", str(script)], check=True)


@bash
@pytest.mark.parametrize(
    ("words", "completed"),
    [
        (["tr"], {"train"}),
        (["train", "--model-args.head"], {"--model-args.head", "--model-args.head-dropout"}),
        (["train", "--classification-task", "m"], {"multiclass", "multilabel"}),
        (["predict", "--th"], {"--threshold"}),
        (["preview", "--transform-args.random-flip.v"], {"--transform-args.random-flip.vertical-prob"}),
    ],
)
def test_commands_options_and_choices_are_completed(script, words, completed):
    program = ["bash", "-c", TRY, "bash", str(script), "lightly-train", *words]
    found = subprocess.run(program, capture_output=True, text=True, check=True).stdout.split()
    assert set(found) == completed


@bash
@pytest.mark.parametrize("words", [["check-data"], ["preview"], ["evaluate"], ["evaluate", "model.pt"], ["predict"]])
def test_files_are_completed_where_no_option_is_needed(script, words, tmp_path, monkeypatch):
    (tmp_path / "described.yaml").touch()
    monkeypatch.chdir(tmp_path)
    program = ["bash", "-c", TRY, "bash", str(script), "lightly-train", *words, "desc"]
    assert subprocess.run(program, capture_output=True, text=True, check=True).stdout.split() == ["described.yaml"]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_get_a_script_with_the_nested_options(call, tmp_path, shell):
    assert call("--install-completion", "--shell", shell, "--output", tmp_path / "script").status == 0
    assert "model-args.lr" in (tmp_path / "script").read_text(encoding="utf-8")
