"""The command as a shell runs it; each call takes seconds, so other tests call `main` in this process."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from lightly_train.cli import main


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-m", "lightly_train.cli", *map(str, arguments)]
    return subprocess.run(program, capture_output=True, text=True, check=False, encoding="utf-8")


def test_the_whole_path_works_from_a_shell_with_spawned_workers(call, data, tmp_path):
    root = tmp_path / "мой опыт ü"
    root.mkdir()
    (root / "data.yaml").write_text(f"train: {data['train']}\nval: {data['val']}\nclasses: {data['classes']}\n")
    trained = command(
        *("train", "--out", root / "run", "--data", root / "data.yaml"),
        *("--model", "timm/test_resnet-notpretrained", "--steps", 40, "--batch-size", 6, "--num-workers", 1),
        *("--loader-args.multiprocessing-context", "spawn"),
        *("--accelerator", "cpu", "--model-args.lr", "3e-3", "--transform-args.image-size", "32,32"),
        *("--transform-args", "{color_jitter: null}"),
    )
    assert trained.returncode == 0, trained.stderr
    best = json.loads(trained.stdout)["exported_best"]
    exported = call("export-onnx", best, root / "m.onnx")
    assert exported.status == 0, exported.err
    steps = [line.split()[0] for line in exported.err.splitlines()]
    assert steps == ["tracing", "simplifying", "verifying", "writing", "exported"]
    small = call("export-onnx", best, root / "8.onnx", "--precision", "int8", "--images", data["val"])
    assert small.status == 0, small.err
    assert "accuracy 100.00 % before" in json.loads(small.out)["accuracy"]
    # No machine that tests has TensorRT and a GPU.
    built = call("export-tensorrt", best, root / "m.trt", "--max-batchsize", 4)
    assert built.status == 2
    assert "--maxShapes=images:4x3x32x32" in built.err
    image = data["val"] / "blue" / "1.png"
    for model in (best, root / "m.onnx", root / "8.onnx"):
        predicted = call("predict", model, image, "--topk", 2)
        assert predicted.status == 0, predicted.err
        answer = json.loads(predicted.out)
        assert answer["labels"][0] == 9
        assert answer["names"][0] == "blue"
        assert len(answer["scores"]) == 2


def test_trained_and_exported_models_are_evaluated_and_classify_folders(data, tmp_path, capsys):
    arguments = ["--out", tmp_path / "run", "--data.train", data["train"], "--data.val", data["val"], "--steps", 20]
    network = ["--model", "timm/test_resnet-notpretrained", "--num-workers", 0, "--accelerator", "cpu"]
    settings = ["--batch-size", 6, "--transform-args.image-size", "32,32"]
    main([str(one) for one in ("train", *arguments, *network, *settings)])
    result = json.loads(capsys.readouterr().out)
    main(["export-onnx", result["exported_best"], str(tmp_path / "m.onnx")])
    capsys.readouterr()
    tables = []
    for number, model in enumerate((result["exported_best"], str(tmp_path / "m.onnx"))):
        out = tmp_path / f"measured {number}"
        words = ["evaluate", model, str(data["val"]), "--metric-args.classwise", "true", "--out", str(out)]
        main(words)
        found = json.loads(capsys.readouterr().out)
        assert found["top1_acc_micro"] == result["val_metric/top1_acc_micro"]
        assert (out / "per_class.csv").is_file()
        table = tmp_path / f"{number}.csv"
        main(["predict", model, str(data["val"]), "--device", "cpu", "--out", str(table)])
        capsys.readouterr()
        tables.append([line.split(",")[:4] for line in table.read_text().splitlines()])
    assert tables[0] == tables[1]
    assert len(tables[0]) > 3


@pytest.mark.skipif(os.name == "nt", reason="pipes of Windows do not break this way")
def test_a_reader_that_has_seen_enough_is_no_error():
    reading, writing = os.pipe()
    os.close(reading)
    program = [sys.executable, "-m", "lightly_train.cli", "train", "--help"]
    done = subprocess.run(program, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")
