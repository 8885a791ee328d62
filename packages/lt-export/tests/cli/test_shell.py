"""Commands to copy, on Windows; on other systems they are shlex's."""

from __future__ import annotations

import importlib.util

import pytest

from lt_export import EngineError, build_engine, shell
from lt_export.cli import main
from lt_export.shell import shell_line


@pytest.fixture
def windows(monkeypatch) -> None:
    monkeypatch.setattr(shell, "WINDOWS", True)


@pytest.mark.usefixtures("windows")
@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["trtexec", r"--onnx=C:\a\m.onnx", "--noTF32", "--x=1x3"], r"trtexec --onnx=C:\a\m.onnx --noTF32 --x=1x3"),
        (["x", "a&calc"], 'x "a&calc"'),
        (
            ["x", "a|b", "a>b", "a<b", "a^b", "(a)", "a;b", "a,b", "a'b", "@a"],
            """x "a|b" "a>b" "a<b" "a^b" "(a)" "a;b" "a,b" "a'b" "@a\"""",
        ),
        (["x", r"C:\my files\\"], r'x "C:\my files\\\\"'),
        (["x", ""], 'x ""'),
        (["x", "größe.onnx"], "x größe.onnx"),
    ],
)
def test_words_with_more_than_plain_characters_are_quoted_on_windows(words, line):
    assert shell_line(words) == line


@pytest.mark.usefixtures("windows")
@pytest.mark.parametrize("name", ["%PATH%", 'a"b', "a\nb", "a\rb", "$(calc)", "a`b", "a”b"])
def test_there_is_no_line_for_what_no_quotes_make_safe(name):
    assert shell_line(["trtexec", name]) == ""


@pytest.mark.usefixtures("windows")
def test_the_page_says_why_there_is_no_command(make_onnx, tmp_path, capsys, monkeypatch):
    class Site:
        folder, bytes, replaced = tmp_path / "100%", 1, False

    monkeypatch.setattr("lt_export.write_site", lambda *given, **named: Site, raising=False)
    assert main(["web", str(make_onnx()), "--out", str(Site.folder)]) == 0
    _, server, address = capsys.readouterr().out.splitlines()
    assert server.startswith("to try it, serve the folder (no command here: a name has a character")
    assert address == "and open http://127.0.0.1:8000"


@pytest.mark.usefixtures("windows")
@pytest.mark.skipif(importlib.util.find_spec("tensorrt") is not None, reason="TensorRT is installed here")
def test_an_engine_of_an_unsafe_name_has_no_command(make_onnx, tmp_path):
    with pytest.raises(EngineError, match="No command of trtexec is shown, since a name") as caught:
        build_engine(make_onnx(), tmp_path / "%PATH%.trt")
    assert caught.value.command == ""
    assert "trtexec --onnx" not in str(caught.value)
