from __future__ import annotations

import csv
import hashlib
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import attrs
import numpy as np
import pytest
from mean_colour import with_thresholds
from PIL import Image

import lt_export
from lt_data import Classes
from lt_export.cli import main
from lt_export.commands.arguments import DEVICES
from lt_export.metadata import to_metadata
from lt_export.runtime import onnx_runner

HEAVY = ["numpy", "PIL", "onnxruntime", "onnx", "torch", "starlette", "uvicorn", "lt_data.preprocessing"]
NAMES = ["predict", "info", "benchmark", "selftest", "build-engine", "describe-engine", "serve", "web"]


@pytest.fixture
def model(make_onnx) -> Path:
    return make_onnx()


@pytest.fixture
def folder(tmp_path) -> Path:
    """Three images whose colours are those of the classes; one of them in a folder of its own."""
    root = tmp_path / "images"
    (root / "deeper").mkdir(parents=True)
    for name, color in (("a.png", (200, 10, 30)), ("b.png", (10, 200, 30)), ("deeper/c.jpg", (10, 30, 200))):
        Image.fromarray(np.full((20, 30, 3), color, np.uint8)).save(root / name)
    return root


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-m", "lt_export.cli", *map(str, arguments)]
    return subprocess.run(program, capture_output=True, text=True, check=False)


def lines(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def test_predict_prints_one_line_an_image(model, folder, capsys):
    assert main(["predict", str(model), str(folder / "a.png"), str(folder / "b.png"), "--topk", "2"]) == 0
    out, err = capsys.readouterr()
    first, second = out.splitlines()
    assert re.fullmatch(rf"{re.escape(str(folder / 'a.png'))}\tred 0\.\d{{4}}\tblue 0\.\d{{4}}", first)
    assert second.split("\t")[1].startswith("green 0.")
    assert err == ""


def test_json_lines_hold_exactly_what_predict_gives(model, folder, capsys):
    images = [str(folder / "a.png"), str(folder / "deeper" / "c.jpg")]
    assert main(["predict", str(model), *images, "--topk", "3", "--json"]) == 0
    classifier = lt_export.load(model)
    for image, line in zip(images, lines(capsys.readouterr().out), strict=True):
        expected = classifier.predict(image, topk=3)
        assert line == {
            "path": image,
            "labels": expected["labels"].tolist(),
            "names": [classifier.classes[label] for label in expected["labels"].tolist()],
            "scores": expected["scores"].tolist(),
        }


def test_a_multilabel_model_gives_the_classes_above_the_threshold(make_onnx, folder, capsys):
    model = make_onnx(task="multilabel")
    assert main(["predict", str(model), str(folder / "a.png"), "--threshold", "0.6", "--json"]) == 0
    assert lines(capsys.readouterr().out)[0]["names"] == ["red"]


def test_auto_takes_the_thresholds_of_the_file(make_onnx, folder, capsys):
    model = make_onnx(task="multilabel", metadata=to_metadata(with_thresholds(0.99, 0.4, 0.6)))
    assert main(["predict", str(model), str(folder / "a.png"), "--threshold", "auto", "--json"]) == 0
    expected = lt_export.load(model).predict(folder / "a.png", threshold="auto")["labels"].tolist()
    assert lines(capsys.readouterr().out)[0]["labels"] == expected == [20]


def test_unreadable_images_are_named_and_the_others_still_classified(model, folder, capsys):
    (folder / "broken.png").write_bytes(b"no image")
    images = [str(folder / "broken.png"), str(folder / "nothing.png"), str(folder / "a.png")]
    assert main(["predict", str(model), *images, "--json"]) == 2
    out, err = capsys.readouterr()
    assert [line.split(":")[0] for line in err.splitlines()] == ["error", "error"]
    assert "broken.png" in err
    assert "nothing.png" in err
    broken, nothing, good = lines(out)
    assert str(broken["error"]).startswith("is none of the image formats")
    assert nothing["error"] == "No such file or directory"
    assert good["names"] == ["red"]


def test_an_empty_text_is_no_folder(model, capsys):
    assert main(["predict", str(model), ""]) == 2
    assert "expected a path, got ''" in capsys.readouterr().err


def test_a_folder_is_classified_at_any_depth(model, folder, capsys):
    (folder / "broken.png").write_bytes(b"no image")
    assert main(["predict", str(model), str(folder), "--json"]) == 2
    out, err = capsys.readouterr()
    found = {str(line["path"]): line.get("names") for line in lines(out)}
    assert found == {
        str(folder / "a.png"): ["red"],
        str(folder / "b.png"): ["green"],
        str(folder / "broken.png"): None,
        str(folder / "deeper" / "c.jpg"): ["blue"],
    }
    error, summary = err.splitlines()
    assert error.startswith(f"error: {folder / 'broken.png'}: is none of the image formats")
    assert summary == "images classified: 3, unreadable: 1"
    assert "\r" not in err  # progress is for terminals


def test_a_folder_goes_into_a_table_and_an_interrupted_one_is_gone_on_with(model, folder, tmp_path, capsys):
    out = tmp_path / "predictions.csv"
    assert main(["predict", str(model), str(folder), "--out", str(out), "--batch-size", "1"]) == 0
    assert capsys.readouterr().out == ""
    whole = out.read_text()
    assert [row["names"] for row in csv.DictReader(whole.splitlines())] == ["red", "green", "blue"]
    assert main(["predict", str(model), str(folder), "--out", str(out)]) == 2
    assert "is there already" in capsys.readouterr().err
    out.write_text(whole[: whole.rindex("deeper") + 4])
    assert main(["predict", str(model), str(folder), "--out", str(out), "--resume"]) == 0
    assert out.read_text() == whole
    assert "images classified: 1, unreadable: 0, there already: 2" in capsys.readouterr().err


def test_info_says_what_the_file_says(model, capsys):
    assert main(["info", str(model), "--json"]) == 0
    (found,) = lines(capsys.readouterr().out)
    description = lt_export.load(model).description
    assert found["bytes"] == model.stat().st_size
    assert found["sha256"] == hashlib.sha256(model.read_bytes()).hexdigest()
    assert found["classes"] == [{"id": 10, "name": "red"}, {"id": 20, "name": "green"}, {"id": 30, "name": "blue"}]
    assert found["task"] == "multiclass"
    assert found["precision"] == description.precision
    assert found["checkpoint_sha256"] is None
    assert found["reference_images"] == len(description.reference_scores) == 3
    assert found["preprocessing"]["image_size"] == [16, 24]
    assert main(["info", str(model)]) == 0
    shown = dict(re.split(r"  +", line, maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert shown["classes"] == "3: 10 red, 20 green, 30 blue"
    assert shown["input"].startswith("16 x 24 pixels")
    assert shown["batch"] == "any number of images"
    assert (found["min_batch_size"], found["max_batch_size"]) == (1, None)


def test_info_says_how_a_model_is_calibrated(make_onnx, capsys):
    described = with_thresholds(0.999, 0.4, 0.65)
    calibration = attrs.evolve(described.task.calibration, temperature=1.25)
    described = attrs.evolve(described, task=attrs.evolve(described.task, calibration=calibration))
    model = str(make_onnx(task="multilabel", metadata=to_metadata(described)))
    assert main(["info", model, "--json"]) == 0
    (found,) = lines(capsys.readouterr().out)
    assert found["calibration"] == {
        "temperature": 1.25,
        "thresholds": [
            {"id": 10, "name": "red", "threshold": 0.999},
            {"id": 20, "name": "green", "threshold": 0.4},
            {"id": 30, "name": "blue", "threshold": 0.65},
        ],
    }
    assert main(["info", model]) == 0
    shown = capsys.readouterr().out
    assert "temperature       1.25, inside the model\n" in shown
    assert "thresholds        red 0.999, green 0.4, blue 0.65\n" in shown


def test_info_says_that_a_model_is_not_calibrated(make_onnx, capsys):
    model = make_onnx(task="multilabel")
    assert main(["info", str(model), "--json"]) == 0
    assert lines(capsys.readouterr().out)[0]["calibration"] == {"temperature": 1.0, "thresholds": None}
    assert main(["info", str(model)]) == 0
    assert "temperature       1: not calibrated\nthresholds        none of its own\n" in capsys.readouterr().out


def test_info_says_that_a_batch_is_fixed(make_onnx, capsys):
    model = str(make_onnx(batch=4))
    assert main(["info", model, "--json"]) == 0
    (found,) = lines(capsys.readouterr().out)
    assert (found["min_batch_size"], found["max_batch_size"]) == (4, 4)
    assert main(["info", model]) == 0
    assert "batch             exactly 4 at once\n" in capsys.readouterr().out


def test_a_model_of_a_fixed_batch_is_timed_at_that(make_onnx, capsys):
    model = str(make_onnx(batch=4))
    assert main(["benchmark", model, "--runs", "2", "--json"]) == 0
    assert lines(capsys.readouterr().out)[0]["batch_size"] == 4
    assert main(["benchmark", model, "--batch-size", "2"]) == 2
    assert "the model takes exactly 4 at once: a batch of 2 would be filled up" in capsys.readouterr().err


def test_info_needs_no_onnx_runtime(model):
    code = "import sys; sys.modules['onnxruntime'] = None; from lt_export.cli import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run([sys.executable, "-c", code, "info", str(model)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_benchmark_gives_times_of_this_machine(model, capsys):
    assert main(["benchmark", str(model), "--runs", "3", "--warmup", "1", "--batch-size", "2", "--json"]) == 0
    (found,) = lines(capsys.readouterr().out)
    assert 0 < found["p50"] <= found["p95"]
    assert (found["runs"], found["batch_size"]) == (3, 2)
    assert "cpu" in str(found["device"])
    assert main(["benchmark", str(model), "--runs", "3"]) == 0
    assert "images/s" in capsys.readouterr().out


def test_a_selftest_passes_or_fails_with_a_sentence(make_onnx, capsys):
    model = make_onnx()
    assert main(["selftest", str(model)]) == 0
    assert capsys.readouterr().out.startswith("passed on cpu")
    described = lt_export.load(model).description
    wrong = attrs.evolve(described, reference_scores=described.reference_scores[:, ::-1])
    assert main(["selftest", str(make_onnx(metadata=to_metadata(wrong)))]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: this machine gives other scores")
    assert err.count("\n") == 1


@pytest.mark.skipif(importlib.util.find_spec("tensorrt") is not None, reason="TensorRT is installed here")
def test_building_an_engine_without_tensorrt_says_what_is_missing_and_how_trtexec_does_it(make_onnx, tmp_path, capsys):
    model = make_onnx()
    assert main(["build-engine", str(model), "--out", str(tmp_path / "m.trt"), "--max-batchsize", "4"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    said, _, trtexec, _, describe, python = err.splitlines()
    assert said.startswith("error: no engine was built: ")
    assert trtexec.startswith(f"  trtexec --onnx={model} ")
    assert "--maxShapes=images:4x3x16x24" in trtexec
    assert describe == f"  lt-export describe-engine {model} {tmp_path / 'm.trt'}"
    assert python.startswith("  lt_export.describe_engine(")
    assert main(["describe-engine", str(model), str(tmp_path / "m.trt")]) == 2
    assert "m.trt: No such file" in capsys.readouterr().err
    (tmp_path / "m.trt").write_bytes(b"an engine")
    assert main(["describe-engine", str(model), str(tmp_path / "m.trt")]) == 2
    assert "m.trt: an engine is described where it runs. " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name a command"),
        (["predikt"], "invalid choice"),
        (["predict", "MODEL"], "IMAGE"),
        (["predict", "MODEL", "FOLDER/a.png", "--topk", "0"], "--topk"),
        (["predict", "MODEL", "FOLDER/a.png", "--topk", "4"], "topk must be an integer from 1 to 3"),
        (["predict", "MODEL", "FOLDER/a.png", "--threshold", "nan"], "--threshold"),
        (["predict", "MODEL", "FOLDER/a.png", "--threshold", "1"], "threshold"),
        (["predict", "MODEL", "FOLDER/a.png", "--device", "abacus"], "--device"),
        (["predict", "MODEL", "FOLDER/a.png", "--num-threads", "many"], "--num-threads"),
        (["predict", "MODEL", "FOLDER/a.png", "--out", "x.csv"], "are for a folder"),
        (["predict", "MODEL", "FOLDER/a.png", "--batch-size", "2"], "are for a folder"),
        (["predict", "MODEL", "FOLDER", "--resume"], "name it as `out`"),
        (["predict", "MODEL", "FOLDER", "FOLDER"], "one folder"),
        (["predict", "MODEL", "FOLDER", "--out", "x.txt"], r".csv or .jsonl"),
        (["benchmark", "MODEL", "--runs", "0"], "--runs"),
        (["build-engine", "MODEL"], "--out"),
        (["describe-engine", "MODEL"], "ENGINE"),
        (["build-engine", "MODEL", "--out", "x.trt", "--max-batchsize", "0"], "--max-batchsize"),
        (["build-engine", "MODEL", "--out", "x.trt", "--workspace-gb", "-1"], "--workspace-gb"),
        (["web", "MODEL"], "--out"),
        (["web", "MODEL", "--out", "FOLDER"], "holds files that are no page of lt-export"),
        (["web", "model.pt", "--out", "page"], "model.pt"),
        (["serve", "MODEL", "--port", "65536"], "--port"),
        (["serve", "MODEL", "--stop-seconds", "0"], "--stop-seconds"),
    ],
)
def test_wrong_arguments_are_one_line_and_exit_status_2(model, folder, arguments, message, capsys):
    filled = [one.replace("MODEL", str(model)).replace("FOLDER", str(folder)) for one in arguments]
    try:
        status = main(filled)
    except SystemExit as stopped:
        status = int(str(stopped.code))
    out, err = capsys.readouterr()
    assert (status, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert message in err


@pytest.mark.parametrize("command", ["predict", "info", "benchmark", "selftest"])
def test_a_model_that_cannot_be_loaded_is_one_line_and_exit_status_2(folder, tmp_path, command, capsys):
    (tmp_path / "wrong.onnx").write_bytes(b"hello")
    for name in ("wrong.onnx", "nothing.onnx"):
        assert main([command, str(tmp_path / name), *([str(folder)] if command == "predict" else [])]) == 2
        err = capsys.readouterr().err
        assert err.startswith("error: ")
        assert name in err
        assert err.count("\n") == 1


def test_a_folder_without_images_is_one_line(model, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert main(["predict", str(model), str(tmp_path / "empty")]) == 2
    err = capsys.readouterr().err
    assert "there is no image below this folder" in err
    assert err.count("\n") == 1


def test_the_traceback_is_shown_with_debug_only(tmp_path):
    plain, debug = (run("info", tmp_path / "nothing.onnx", *more) for more in ((), ("--debug",)))
    assert "Traceback" not in plain.stderr
    assert "Traceback" in debug.stderr
    assert plain.returncode == debug.returncode == 2
    assert debug.stderr.splitlines()[-1] == plain.stderr.strip()


def test_names_from_a_model_cannot_steer_the_terminal(make_onnx, folder, capsys):
    described = lt_export.load(make_onnx()).description
    names = ("\x1b[2Jred\n", "gr\u202een", "blue")
    task = attrs.evolve(described.task, classes=Classes((1, 2, 3), names))
    model = make_onnx(metadata=to_metadata(attrs.evolve(described, task=task)))
    for arguments in (["predict", str(model), str(folder / "a.png"), "--topk", "3"], ["info", str(model)]):
        assert main(arguments) == 0
        out = capsys.readouterr().out
        assert r"\x1b[2Jred\n" in out
        assert r"gr\u202een" in out
        assert "\x1b" not in out


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no file names that are no Unicode")
def test_a_file_name_that_is_no_unicode_is_printed_as_it_can_be(model, folder):
    name = os.fsencode(folder) + b"/\xff.png"
    (folder / "a.png").rename(os.fsdecode(name))
    done = subprocess.run(
        [sys.executable, "-m", "lt_export.cli", "predict", str(model), name], capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode("ascii").split("\t")[0].endswith(r"\udcff.png")


@pytest.mark.skipif(os.name == "nt", reason="pipes of a shell")
def test_a_reader_that_has_seen_enough_ends_the_command_quietly(model, folder):
    program = [sys.executable, "-m", "lt_export.cli", "predict", str(model), *[str(folder / "a.png")] * 3000]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert "red" in process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait() == 0


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT of one process")
def test_ctrl_c_is_exit_status_130_without_a_traceback(model, folder):
    program = [sys.executable, "-m", "lt_export.cli", "predict", str(model), *[str(folder / "a.png")] * 20_000]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "red" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate()
        assert (process.returncode, err) == (130, "")


@pytest.mark.parametrize("command", [[], *[[name] for name in NAMES]])
def test_help_imports_nothing_heavy(command):
    code = (
        "import contextlib, io, sys\nfrom lt_export.cli import main\n"
        "with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()) as out:\n"
        f"    main([*{command}, '--help'])\n"
        f"assert 'usage' in out.getvalue()\nprint(*[name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_help_names_every_command_and_what_exit_statuses_mean(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    out = capsys.readouterr().out
    assert all(name in out for name in NAMES)
    assert "130 Ctrl-C" in out


def test_version_is_that_of_the_package(capsys):
    assert main(["--version"]) == 0
    assert re.fullmatch(r"lt-export \d+\.\d+\S*\n", capsys.readouterr().out)


def test_devices_are_those_of_the_runtime():
    assert DEVICES == onnx_runner.DEVICES


@pytest.mark.parametrize("missing", ["starlette", "uvicorn", "prometheus_client", "python_multipart"])
def test_serving_without_the_extra_says_how_to_install_it(model, missing):
    code = f"import sys; sys.modules['{missing}'] = None; from lt_export.cli import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", code, "serve", str(model)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert 'pip install "lt-export[server]"' in done.stderr
