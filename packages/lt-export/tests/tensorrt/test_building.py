from __future__ import annotations

import json
import logging
import os
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest

import lt_export
from lt_data import TaskSpec
from lt_export import EdgeModelError, EngineError, VerificationError, build_engine


def images(count: int) -> list[np.ndarray]:
    return list(np.random.default_rng(0).integers(0, 256, (count, 20, 30, 3), dtype=np.uint8))


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_an_engine_gives_the_scores_of_its_onnx_file(gpu, make_onnx, tmp_path, precision):
    onnx = make_onnx(precision=precision)
    report = build_engine(onnx, tmp_path / "m.trt", max_batchsize=4)
    engine, original = lt_export.load(tmp_path / "m.trt"), lt_export.load(onnx)
    np.testing.assert_allclose(engine.scores(images(9)), original.scores(images(9)), atol=1e-6)
    found, expected = (classifier.predict(images(1)[0], topk=3)["labels"] for classifier in (engine, original))
    assert found.tolist() == expected.tolist()
    assert engine.description == original.description
    assert report.verification.largest_difference < 1e-5
    assert report.size == (tmp_path / "m.trt").stat().st_size
    assert engine.device == f"NVIDIA Fake (TensorRT {gpu.tensorrt.__version__})"
    assert engine.selftest().agreement.agreement == 1.0


def test_the_network_is_strongly_typed_and_no_precision_is_asked_for(gpu, make_onnx, tmp_path, header):
    build_engine(make_onnx(precision="fp16"), tmp_path / "m.trt")
    built = header(tmp_path / "m.trt")
    assert built["network_flags"] == ["STRONGLY_TYPED"]
    assert built["builder_flags"] == []


def test_options_reach_tensorrt(gpu, make_onnx, tmp_path, header):
    build_engine(
        make_onnx(),
        tmp_path / "m.trt",
        min_batchsize=2,
        opt_batchsize=3,
        max_batchsize=5,
        workspace_gb=1.5,
        version_compatible=True,
        hardware_compatible=True,
    )
    built = header(tmp_path / "m.trt")
    assert built["profile"] == [[2, 3, 16, 24], [3, 3, 16, 24], [5, 3, 16, 24]]
    assert built["pools"] == {"WORKSPACE": 3 * 2**29}
    assert built["builder_flags"] == ["VERSION_COMPATIBLE"]
    assert built["hardware"] == "AMPERE_PLUS"


def test_the_file_beside_an_engine_says_what_it_is(gpu, make_onnx, tmp_path):
    report = build_engine(make_onnx(), tmp_path / "m.engine", max_batchsize=2)
    assert report.manifest == tmp_path / "m.engine.json"
    text = json.loads(report.manifest.read_text(encoding="utf-8"))
    assert (text["format"], text["version"]) == ("lt-export/tensorrt-engine", 1)
    assert text["tensorrt_version"] == gpu.tensorrt.__version__
    assert text["gpu"] == {"name": "NVIDIA Fake", "compute_capability": [8, 9]}
    assert (text["min_batchsize"], text["opt_batchsize"], text["max_batchsize"]) == (1, 1, 2)
    assert text["checkpoint_sha256"] == "ab" * 32
    assert TaskSpec.from_json(json.dumps(text["task_spec"])).classes.names == ("red", "grün", "blue")


@pytest.mark.parametrize("batch", [1, 3])
def test_a_file_of_a_fixed_batch_gives_an_engine_of_that_batch(gpu, make_onnx, tmp_path, batch):
    onnx = make_onnx(batch=batch)
    build_engine(onnx, tmp_path / "m.trt", min_batchsize=batch, opt_batchsize=batch, max_batchsize=batch)
    engine = lt_export.load(tmp_path / "m.trt")
    np.testing.assert_allclose(engine.scores(images(4)), lt_export.load(onnx).scores(images(4)), atol=1e-6)
    with pytest.raises(EngineError, match=f"exactly {batch} images"):
        build_engine(onnx, tmp_path / "m.trt", min_batchsize=1, opt_batchsize=batch, max_batchsize=9)


def test_a_timing_cache_is_read_and_written(gpu, make_onnx, tmp_path):
    for builds in (1, 2):
        build_engine(make_onnx(), tmp_path / "m.trt", timing_cache=tmp_path / "cache")
        assert json.loads((tmp_path / "cache").read_bytes())["measured"] == builds


@pytest.mark.parametrize("content", [b"nonsense", b'{"key": ["10.0.0.0", "another GPU"], "measured": 7}'])
def test_a_timing_cache_of_something_else_is_refused_and_left_alone(gpu, make_onnx, tmp_path, content):
    (tmp_path / "cache").write_bytes(content)
    with pytest.raises(EngineError, match=r"cache: is no timing cache of this GPU and this TensorRT"):
        build_engine(make_onnx(), tmp_path / "m.trt", timing_cache=tmp_path / "cache")
    assert (tmp_path / "cache").read_bytes() == content
    assert not (tmp_path / "m.trt").exists()


@pytest.mark.parametrize(
    ("cache", "message"),
    [("nowhere/cache", "timing_cache: .*nowhere: there is no such folder"), ("", "timing_cache: .*: is a folder")],
)
def test_a_timing_cache_that_cannot_be_written_is_refused_before_the_build(
    gpu, make_onnx, tmp_path, monkeypatch, cache, message
):
    monkeypatch.setattr(gpu.tensorrt, "Builder", lambda log: pytest.fail("a build was begun"))
    with pytest.raises(EngineError, match=message):
        build_engine(make_onnx(), tmp_path / "m.trt", timing_cache=tmp_path / cache)


def test_a_timing_cache_that_fails_to_be_written_after_the_build_is_a_warning(
    gpu, make_onnx, tmp_path, monkeypatch, caplog
):
    replace = Path.replace

    def full(source, target):
        if target.name == "cache":
            raise OSError(28, "No space left on device")
        return replace(source, target)

    monkeypatch.setattr(Path, "replace", full)
    report = build_engine(make_onnx(), tmp_path / "m.trt", timing_cache=tmp_path / "cache")
    assert lt_export.load(report.path).selftest().agreement.agreement == 1.0
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING] == [
        f"{tmp_path / 'cache'}: the timing cache could not be written: No space left on device"
    ]
    assert not (tmp_path / "cache").exists()


def test_an_engine_that_answers_differently_is_not_written(gpu, make_onnx, tmp_path):
    build_engine(make_onnx(), tmp_path / "m.trt")
    before = {path.name: path.read_bytes() for path in tmp_path.glob("m.*")}
    wrong = make_onnx("wrong.onnx", noted=lambda scores: scores[:, ::-1])
    with pytest.raises(VerificationError, match=r"wrong\.onnx: the engine gives other scores"):
        build_engine(wrong, tmp_path / "m.trt", timing_cache=tmp_path / "cache")
    assert {path.name: path.read_bytes() for path in tmp_path.glob("m.*")} == before
    assert not (tmp_path / "cache").exists()


def test_what_tensorrt_says_against_a_build_is_passed_on(gpu, make_onnx, tmp_path, caplog):
    with pytest.raises(EngineError, match=r"model\.onnx: .*no implementation fits"):
        build_engine(make_onnx(), tmp_path / "m.trt", workspace_gb=0.0001)
    assert ("TensorRT: fake builder: no implementation fits", logging.ERROR) in [
        (record.getMessage(), record.levelno) for record in caplog.records
    ]


@pytest.mark.parametrize("synced", [0, 1])
def test_a_full_disk_leaves_the_old_pair(gpu, make_onnx, tmp_path, monkeypatch, synced):
    build_engine(make_onnx(), tmp_path / "m.trt")
    old = {path.name: path.read_bytes() for path in tmp_path.glob("m.trt*")}
    other, before = make_onnx(factor=1.0), [os.fsync] * synced

    def full(descriptor):
        if not before:
            raise OSError(28, "No space left on device")
        before.pop()(descriptor)

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        build_engine(other, tmp_path / "m.trt")
    assert {path.name: path.read_bytes() for path in tmp_path.glob("*m.trt*")} == old
    assert lt_export.load(tmp_path / "m.trt").selftest().agreement.agreement == 1.0


def test_a_build_that_is_killed_between_its_two_files_leaves_a_pair_that_is_refused(
    gpu, make_onnx, tmp_path, monkeypatch
):
    build_engine(make_onnx(), tmp_path / "m.trt")
    first = (tmp_path / "m.trt").read_bytes()
    other, replace, done = make_onnx(factor=1.0), Path.replace, []

    def killed(source, target):
        if done:
            raise KeyboardInterrupt
        done.append(target)
        return replace(source, target)

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        build_engine(other, tmp_path / "m.trt")
    assert (tmp_path / "m.trt").read_bytes() != first
    with pytest.raises(EdgeModelError, match="belong together|SHA-256"):
        lt_export.load(tmp_path / "m.trt")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"min_batchsize": 0}, "min_batchsize"),
        ({"opt_batchsize": 2}, "max_batchsize"),
        ({"max_batchsize": 2**31}, "2\\^31"),
        ({"workspace_gb": 0}, "workspace_gb"),
        ({"workspace_gb": float("nan")}, "workspace_gb"),
        ({"workspace_gb": "4"}, "workspace_gb must be above 0, or None for all memory, got '4'"),
        ({"max_batchsize": "a"}, "expected whole numbers, .*, got 1, 1 and 'a'"),
        ({"max_batchsize": 1.5}, "expected whole numbers, .*, got 1, 1 and 1.5"),
        ({"timing_cache": 5}, "timing_cache must be a path, got 5"),
    ],
)
def test_impossible_arguments_are_refused(gpu, make_onnx, tmp_path, wrong, message):
    with pytest.raises(EngineError, match=message):
        build_engine(make_onnx(), tmp_path / "m.trt", **wrong)


@pytest.mark.parametrize("out", ["m.onnx", "m", "nowhere/m.trt"])
def test_a_place_where_no_engine_can_be_is_refused(gpu, make_onnx, tmp_path, out):
    with pytest.raises(EngineError, match="ends in|no such folder"):
        build_engine(make_onnx(), tmp_path / out)


def test_a_place_that_cannot_be_written_to_is_refused_before_the_onnx_file_is_read(gpu, tmp_path, sealed_folder):
    with pytest.raises(EngineError, match=f"{sealed_folder}: cannot be written to"):
        build_engine(tmp_path / "missing.onnx", f"{sealed_folder}/m.trt")


def test_what_is_no_path_is_refused(gpu, make_onnx, tmp_path):
    with pytest.raises(EngineError, match="must be a path, got None"):
        build_engine(make_onnx(), None)
    with pytest.raises(EdgeModelError, match="onnx must be a path, got None"):
        build_engine(None, tmp_path / "m.trt")


def test_each_step_is_logged(gpu, make_onnx, tmp_path, caplog):
    caplog.set_level(logging.INFO, "lt_export")
    build_engine(make_onnx(), tmp_path / "m.trt")
    words = [record.getMessage().split()[0] for record in caplog.records]
    assert words == ["building", "comparing", "writing", "built"]


def test_a_file_that_preprocesses_is_refused(gpu, make_onnx, tmp_path):
    with pytest.raises(EngineError, match="antialiased"):
        build_engine(make_onnx(includes_preprocessing=True), tmp_path / "m.trt")


def test_gpus_before_ampere_make_no_hardware_compatible_engines(gpu, make_onnx, tmp_path):
    gpu.cuda.state.devices[0] = ("NVIDIA Old Fake", 7, 5)
    with pytest.raises(EngineError, match=r"Ampere.*NVIDIA Old Fake \(compute capability 7\.5\)"):
        build_engine(make_onnx(), tmp_path / "m.trt", hardware_compatible=True)


def test_without_tensorrt_the_error_holds_the_command_and_nothing_is_written(without_tensorrt, make_onnx, tmp_path):
    onnx, out = make_onnx("my model.onnx"), tmp_path / "my engine.trt"
    with pytest.raises(EngineError, match="TensorRT is not installed") as caught:
        build_engine(
            onnx,
            out,
            opt_batchsize=4,
            max_batchsize=8,
            workspace_gb=2,
            timing_cache=tmp_path / "my cache",
            version_compatible=True,
            hardware_compatible=True,
            verbose=True,
        )
    assert shlex.split(caught.value.command) == [
        "trtexec",
        f"--onnx={onnx}",
        f"--saveEngine={out}",
        "--stronglyTyped",
        "--noTF32",
        "--minShapes=images:1x3x16x24",
        "--optShapes=images:4x3x16x24",
        "--maxShapes=images:8x3x16x24",
        "--memPoolSize=workspace:2048M",
        f"--timingCacheFile={tmp_path / 'my cache'}",
        "--versionCompatible",
        "--hardwareCompatibilityLevel=ampere+",
        "--skipInference",
        "--verbose",
    ]
    assert caught.value.command in str(caught.value)
    assert f"describe_engine({str(onnx)!r}, {str(out)!r}, version_compatible=True)" in str(caught.value)
    assert f"lt-export describe-engine '{onnx}' '{out}' --version-compatible\n" in str(caught.value)
    assert list(tmp_path.iterdir()) == [onnx]


def test_the_command_gives_no_shapes_for_a_file_of_a_fixed_batch(without_tensorrt, make_onnx, tmp_path):
    with pytest.raises(EngineError) as caught:
        build_engine(make_onnx(batch=2), tmp_path / "m.trt", min_batchsize=2, opt_batchsize=2, max_batchsize=2)
    assert "Shapes" not in caught.value.command


@pytest.mark.parametrize(
    ("lack", "message"),
    [
        ({"version": "8.6.1"}, "TensorRT 8.6.1 is too old"),
        ({"driver": "cudaErrorInsufficientDriver"}, "driver is missing, or older.*cuda-bindings<13"),
        ({"driver": "cudaErrorNoDevice"}, "no GPU can be used"),
        ({"devices": []}, "no GPU can be used"),
    ],
)
def test_what_is_missing_is_named(install_gpu, make_onnx, tmp_path, lack, message):
    found = install_gpu(10, version=lack.pop("version", ""))
    if "driver" in lack:
        found.cuda.state.driver = found.cuda.cudaError_t[lack["driver"]]
    found.cuda.state.devices = lack.get("devices", found.cuda.state.devices)
    with pytest.raises(EngineError, match=message) as caught:
        build_engine(make_onnx(), tmp_path / "m.trt")
    assert caught.value.command.startswith("trtexec ")


@pytest.mark.parametrize("kind", ["Builder", "Runtime"])
def test_a_tensorrt_that_cannot_start_is_an_error_of_ours(gpu, make_onnx, tmp_path, monkeypatch, kind):
    def nothing(log):
        log.log(gpu.tensorrt.ILogger.Severity.ERROR, "CUDA initialization failure with error: 35")
        raise TypeError("pybind11::init(): factory function returned nullptr")

    monkeypatch.setattr(gpu.tensorrt, kind, nothing)
    with pytest.raises(EngineError, match=r"model\.onnx: TensorRT cannot start: CUDA initialization failure"):
        build_engine(make_onnx(), tmp_path / "m.trt")


def test_a_package_of_stubs_is_not_taken_for_tensorrt(monkeypatch, make_onnx, tmp_path):
    (tmp_path / "stubs" / "tensorrt").mkdir(parents=True)
    (tmp_path / "stubs" / "tensorrt" / "__init__.pyi").write_text("__version__: str")
    monkeypatch.syspath_prepend(tmp_path / "stubs")
    monkeypatch.delitem(sys.modules, "tensorrt", raising=False)
    with pytest.raises(EngineError, match="only a package of its type stubs"):
        build_engine(make_onnx(), tmp_path / "m.trt")


def test_libraries_that_are_not_found_are_named(monkeypatch, make_onnx, tmp_path):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "tensorrt.py").write_text(
        "raise ImportError('libnvinfer.so.11: cannot open shared object file: No such file or directory')"
    )
    monkeypatch.syspath_prepend(tmp_path / "broken")
    monkeypatch.delitem(sys.modules, "tensorrt", raising=False)
    with pytest.raises(EngineError, match=r"its libraries are not found: libnvinfer\.so\.11"):
        build_engine(make_onnx(), tmp_path / "m.trt")


def test_verbose_shows_what_tensorrt_says_and_stops_again(gpu, make_onnx, tmp_path, capsys, monkeypatch):
    parse = gpu.tensorrt.OnnxParser.parse

    def chatty(parser, model):
        from lt_export.runtime.tensorrt_library import shared_log

        shared_log().log(gpu.tensorrt.ILogger.Severity.VERBOSE, "fake parser: reading")
        return parse(parser, model)

    monkeypatch.setattr(gpu.tensorrt.OnnxParser, "parse", chatty)
    build_engine(make_onnx(), tmp_path / "m.trt", verbose=True)
    assert "TensorRT: fake parser: reading" in capsys.readouterr().err
    build_engine(make_onnx(), tmp_path / "m.trt")
    assert capsys.readouterr().err == ""
