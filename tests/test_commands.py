"""Every command in the README files and the documentation runs as written, as far as it can run here."""

from __future__ import annotations

import ast
import configparser
import importlib.metadata
import inspect
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import yaml
from documents import DOCUMENTS, ROOT, blocks, code, commands, name_of
from PIL import Image
from torch.distributed.run import parse_args as parse_torchrun

import lightly_train
import lightly_train.cli
import lt_data
import lt_export.cli
from lightly_train.cli import train
from lightly_train.cli.app import build_app

PUBLISHED, SMALL = "timm/resnet18", "timm/test_resnet-notpretrained"
"""Published weights need a network; a small network takes their place."""

ONLY_READ = {
    "lightly-train train .*mlflow": "asks a server of MLflow",
    "lightly-train export-tensorrt": "there is no TensorRT",
    "lt-export serve": "ends with Ctrl-C only; packages/lt-export/tests/server runs it",
    "lt-export web": "takes ONNX Runtime for the browser from npm; packages/lt-export/tests/web runs it",
    "torchrun": "starts two machines; packages/lt-train/tests/ranks runs it on one",
}
"""How commands begin whose options are checked, but which do no work here, with the reason."""

NOT_RUN = {
    "pip install torch .*--index-url": "downloads from PyTorch's own index",
    "lightly-train --install-completion": "writes into the shell's own files; the facade's tests run it",
    "build/classify": "is compiled; packages/lt-export/tests/cpp runs it",
    "cmake": "compiles; packages/lt-export/tests/cpp runs it",
    "curl": "asks a server; packages/lt-export/tests/server sends such requests",
    "python -m http.server": "ends with Ctrl-C only",
    "trtexec": "is NVIDIA's",
}
"""How commands begin that are other programs', or would change more than the folder that they run in."""

PACKAGES = ("lt-data", "lt-models", "lt-train", "lt-export", "lightly-train")
PROGRAMS = {"lightly-train": lightly_train.cli.main, "lt-export": lt_export.cli.main}


def matches(command: str, beginnings: Mapping[str, str]) -> bool:
    return any(re.match(beginning, command) for beginning in beginnings)


COMMANDS = [(document, command) for document, command in commands() if not matches(command, NOT_RUN)]


def save_images(root: Path, names: Iterable[str]) -> None:
    rng = np.random.default_rng(0)
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(root / name)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """What the documents speak of: images, files of arguments, finished runs, a calibrated model, an ONNX file."""
    root = tmp_path_factory.mktemp("finished")
    places = product(("train", "val", "test"), ("cat", "car", "dog"), (1, 2, 3))
    labelled = [f"images/{split}/{label}/img{i}.jpg" for split, label, i in places]
    save_images(root, [*labelled, "photos/temple.jpg", "photos/flower.jpg", "image.jpg", "other.png"])
    data = {split: f"images/{split}" for split in ("train", "val", "test")}
    (root / "data.yaml").write_text(yaml.safe_dump(data))
    run = {"model": SMALL, "data": {key: str(root / path) for key, path in data.items()}, "steps": 2}
    (root / "run.yaml").write_text(yaml.safe_dump(run))
    lightly_train.train_image_classification(
        **run, out=root / "out/my_experiment", transform_args={"image_size": (32, 32)}
    )
    shutil.copytree(root / "images", root / "my_data_dir")
    for split in ("train", "val"):
        rows = [f'{split}/{name}/img{i}.jpg,"{name},dog"' for name in ("cat", "car") for i in (1, 2, 3)]
        (root / f"my_data_dir/{split}.csv").write_text("\n".join(["image_path,label", *rows]))
    several = {f"{split}_csv": str(root / f"my_data_dir/{split}.csv") for split in ("train", "val")}
    lightly_train.train_image_classification(
        **{**run, "data": several},
        out=root / "out/multilabel",
        classification_task="multilabel",
        transform_args={"image_size": (32, 32)},
    )
    calibrated = lightly_train.load_model(root / "out/multilabel/exported_models/exported_last.pt")
    calibrated.calibrate(root / "my_data_dir/val.csv")
    calibrated.save(root / "calibrated.pt")
    exported = root / "out/my_experiment/exported_models/exported_best.pt"
    lightly_train.load_model(exported).export_onnx(root / "model.onnx", verify=False)
    return root


@pytest.fixture
def folder(finished, tmp_path, monkeypatch):
    """A copy, so that no command sees what another has done."""
    root = tmp_path / "folder"
    shutil.copytree(finished, root)
    monkeypatch.chdir(root)
    monkeypatch.setattr("lt_train.auto.AUTO_STEPS", (2, 2))
    return root


def status_of(program: str, words: list[str]) -> object:
    try:
        return PROGRAMS[program](words) or 0
    except SystemExit as left:
        return left.code or 0


@pytest.mark.parametrize(("document", "command"), COMMANDS, ids=lambda one: one)
def test_every_command_runs_as_written(document, command, folder):
    program, *words = shlex.split(command.replace(PUBLISHED, SMALL))
    if matches(command, ONLY_READ):
        read(program, words)
    elif program == "pip":
        assert words[0] == "install"
        for wanted in words[1:]:
            assert_there_is_such_a_package(wanted)
    elif program in ("python", "python3"):
        assert words[0] == "tools/dev.py"
        assert words[1] in sessions()
    else:
        if words[:1] == ["train"] and "--config" not in words:
            shutil.rmtree("out/my_experiment")
        assert status_of(program, words) == 0


def read(program: str, words: list[str]) -> None:
    """Let the command's own parser read its options; it raises or exits where it does not know one."""
    if program == "torchrun":
        assert parse_torchrun(words).training_script == words[-1]
    elif program == "lt-export":
        lt_export.cli.build_parser().parse_args(words)
    elif words[0] == "train":
        train.read_words(words[1:])
    else:
        build_app("", words[0]).parse_args(words, exit_on_error=False, print_error=False)


def assert_there_is_such_a_package(wanted: str) -> None:
    found = re.fullmatch(r"(\./packages/)?([a-z-]+)(?:\[([a-z,]+)\])?", wanted)
    assert found, f"{wanted} is no package of ours"
    _, package, extras = found.groups()
    assert package in PACKAGES
    known = importlib.metadata.metadata(package).get_all("Provides-Extra") or []
    assert set(extras.split(",") if extras else []) <= set(known)


def sessions() -> set[str]:
    """Names of nox's sessions, and the one word of tools/dev.py that stands for many."""
    names = {"test"}
    for node in ast.parse((ROOT / "noxfile.py").read_text()).body:
        for one in getattr(node, "decorator_list", []):
            given = {keyword.arg: keyword.value for keyword in getattr(one, "keywords", [])}
            names.add(ast.literal_eval(given["name"]) if "name" in given else node.name)
    return names


def test_a_command_with_an_option_that_does_not_exist_is_found_out(folder):
    assert status_of("lightly-train", ["predict", "model.onnx", "image.jpg", "--top", "3"]) == 2
    assert status_of("lt-export", ["predict", "model.onnx", "image.jpg", "--top-k", "3"]) == 2
    with pytest.raises(SystemExit):
        read("lt-export", ["serve", "model.onnx", "--prot", "8000"])
    with pytest.raises(Exception, match="max-batch"):
        read("lightly-train", ["export-tensorrt", "a.pt", "b.trt", "--max-batch", "8"])
    with pytest.raises(Exception, match="uri"):
        read("lightly-train", ["train", "--out", "a", "--data", "data.yaml", "--logger-args.mlflow.uri", "http://b"])


def test_each_reason_for_not_running_a_command_is_needed():
    written = [command for _, command in commands()]
    for beginning in (*ONLY_READ, *NOT_RUN):
        assert any(re.match(beginning, command) for command in written), beginning


def inline_commands() -> list[tuple[str, str]]:
    return [
        (name_of(document), text)
        for document in DOCUMENTS
        for text in code(document)
        if text.split()[0] in PROGRAMS and len(text.split()) > 1
    ]


@pytest.mark.parametrize(("document", "command"), inline_commands(), ids=lambda one: one)
def test_commands_within_sentences_have_options_that_exist(document, command, capsys):
    program, *words = command.split()
    names = [word for word in words if not word.startswith("-")][:1]
    assert status_of(program, [*names, "--help"]) == 0
    known = {"--help", *(word.strip(",") for word in capsys.readouterr().out.split())}
    assert {word.partition("=")[0] for word in words if word.startswith("--")} <= known


def test_files_and_sessions_within_sentences_exist():
    found = [text for document in DOCUMENTS for text in code(document)]
    files = [text for text in found if re.fullmatch(r"(tools|examples|packages|docs(?!/_build)|tests)/[\w./-]+", text)]
    assert "tools/bench/frozen.py" in files
    assert [file for file in files if not (ROOT / file).exists()] == []
    asked = [re.match(r"(?:python3 tools/dev\.py|nox -s) ([a-z-]+)", text) for text in found]
    assert {one[1] for one in asked if one} <= sessions()


def test_the_errors_of_a_wrong_command_are_those_that_the_documentation_shows(folder, capsys):
    wrong = ["train", "--out", "out/wrong", "--data", "data.yaml", "--model", SMALL]
    assert status_of("lightly-train", [*wrong, "--model-args.lrr", "1", "--steps", "ten"]) == 2
    assert ("text", capsys.readouterr().err) in blocks(ROOT / "docs/command_line.md")


@pytest.mark.parametrize(
    ("document", "text"),
    [(name_of(d), text) for d in DOCUMENTS for language, text in blocks(d) if language == "yaml"],
    ids=lambda one: one.partition("\n")[0],
)
def test_every_yaml_file_is_read_by_what_reads_it(document, text, folder):
    Path("written.yaml").write_text(text)
    if "out" in yaml.safe_load(text):
        assert train.read_words(["--config", "written.yaml"]).training is not None
    else:
        assert lt_data.load_data_config("written.yaml").val is not None


def test_the_unit_of_systemd_starts_a_server_with_options_that_exist():
    (text,) = (text for language, text in blocks(ROOT / "docs/server.md") if language == "ini")
    unit = configparser.ConfigParser(interpolation=None, strict=False)
    unit.read_string(text)
    program, *words = shlex.split(unit["Service"]["ExecStart"])
    assert Path(program).name == "lt-export"
    assert lt_export.cli.build_parser().parse_args(words).num_threads == 2


def test_examples_for_tensorrt_call_functions_with_arguments_that_they_have():
    """They are not run: there is no TensorRT."""
    owners = {"lt_export": lt_export, "classifier": lt_export.EdgeClassifier}
    called = set()
    for language, text in blocks(ROOT / "docs/tensorrt.md"):
        for node in ast.walk(ast.parse(text if language == "text" else "")):
            if isinstance(node, ast.Call):
                owner, name = ast.unparse(node.func).split(".")
                function = inspect.signature(getattr(owners[owner], name))
                receiver = ["self"] if owner == "classifier" else []
                function.bind(*receiver, *node.args, **{keyword.arg: keyword.value for keyword in node.keywords})
                called.add(name)
    assert called == {"load", "selftest", "predict", "build_engine", "describe_engine"}


LANGUAGES = {
    "python": "tests/test_documents.py runs them",
    "bash": "commands, above",
    "sh": "job scripts, whose form is checked below",
    "console": "commands, above, and what they printed",
    "yaml": "read, above",
    "ini": "read, above",
    "text": "output, folders and tables; code for TensorRT, above",
    "{eval-rst}": "read by Sphinx, as all that follow",
    "{toctree}": "",
    "{include} ../CONTRIBUTING.md": "",
    "{literalinclude} ../examples/efficientnet_lite0.py": "",
}
"""Who looks after the blocks of each language."""


def test_job_scripts_are_such_that_bash_reads_them():
    scripts = [text for document in DOCUMENTS for language, text in blocks(document) if language == "sh"]
    assert scripts
    for script in scripts:
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)


def test_every_kind_of_block_is_looked_after():
    found = {language for document in DOCUMENTS for language, _ in blocks(document)}
    assert {language for language in found if not language.startswith("{generated}")} == set(LANGUAGES)
