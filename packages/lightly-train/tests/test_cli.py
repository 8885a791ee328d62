from __future__ import annotations

import json
import subprocess
import sys


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-m", "lightly_train.cli", *map(str, arguments)]
    return subprocess.run(program, capture_output=True, text=True, check=False)


def test_the_whole_path_works_from_a_shell(data, tmp_path):
    (tmp_path / "data.yaml").write_text(f"train: {data['train']}\nval: {data['val']}\nclasses: {data['classes']}\n")
    trained = command(
        *("train", "--out", tmp_path / "run", "--data", tmp_path / "data.yaml"),
        *("--model", "timm/test_resnet-notpretrained", "--steps", 40, "--batch-size", 6, "--num-workers", 0),
        *("--model-args.lr", "3e-3", "--transform-args", "{image_size: [32, 32], color_jitter: null}"),
    )
    assert trained.returncode == 0, trained.stderr
    best = json.loads(trained.stdout)["exported_best"]
    exported = command("export-onnx", best, tmp_path / "m.onnx")
    assert exported.returncode == 0, exported.stderr
    small = command("export-onnx", best, tmp_path / "8.onnx", "--precision", "int8", "--images", data["val"])
    assert small.returncode == 0, small.stderr
    assert "accuracy 100.00 % before" in json.loads(small.stdout)["accuracy"]
    # No machine that tests has TensorRT and a GPU.
    built = command("export-tensorrt", best, tmp_path / "m.trt", "--max-batchsize", 4)
    assert built.returncode == 2
    assert "--maxShapes=images:4x3x32x32" in built.stderr
    image = data["val"] / "blue" / "1.png"
    for model in (best, tmp_path / "m.onnx", tmp_path / "8.onnx"):
        predicted = command("predict", model, image, "--topk", 2)
        assert predicted.returncode == 0, predicted.stderr
        answer = json.loads(predicted.stdout)
        assert answer["labels"][0] == 9
        assert answer["names"][0] == "blue"
        assert len(answer["scores"]) == 2


def test_wrong_input_is_one_message_and_exit_status_2(tmp_path):
    (tmp_path / "data.yaml").write_text("trian: x\n")
    train = ("train", "--out", tmp_path / "run", "--data", tmp_path / "data.yaml", "--model", "timm/resnet18")
    for arguments, message in (
        (("predict", tmp_path / "nothing.pt", "a.png"), "nothing.pt"),
        (("predict", tmp_path / "nothing.onnx", "a.png"), "nothing.onnx"),
        (("predict", tmp_path / "nothing.trt", "a.png"), "nothing.trt"),
        (train, "did you mean `train`?"),
        ((*train, "--transform-args", "{a: ["), "expected YAML"),
        ((*train, "--metric-args", "{f1: {averages: [macro]}}"), "metric_args.f1.averages"),
        ((*train, "--classification-task", "many"), "multilabel"),
        ((*train, "--model-args.lr", "-1"), "lr must be above 0"),
        (("list-models", "nothing/*"), "no model matches"),
    ):
        failed = command(*arguments)
        assert failed.returncode == 2
        assert "Traceback" not in failed.stderr
        assert message in failed.stderr


def test_help_names_every_command():
    shown = command("--help")
    assert shown.returncode == 0
    for name in ("train", "predict", "export-onnx", "export-tensorrt", "list-models"):
        assert name in shown.stdout
