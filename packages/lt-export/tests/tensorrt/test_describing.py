from __future__ import annotations

import json

import pytest

import lt_export
from lt_export import EdgeModelError, EngineError, VerificationError, build_engine, describe_engine
from lt_export.cli import main


@pytest.fixture
def own(gpu, make_onnx, tmp_path):
    """An engine without a description, as trtexec leaves it."""
    build_engine(make_onnx(), tmp_path / "m.trt", max_batchsize=4, opt_batchsize=2)
    (tmp_path / "m.trt.json").rename(tmp_path / "as_built.json")
    return tmp_path / "m.trt"


def test_an_engine_of_ones_own_is_described_as_if_we_had_built_it(own, tmp_path):
    report = describe_engine(tmp_path / "model.onnx", own)
    described, built = (json.loads((tmp_path / name).read_text()) for name in ("m.trt.json", "as_built.json"))
    assert described == built
    assert report.verification.agreement == 1.0
    assert lt_export.load(own).selftest().agreement.agreement == 1.0


def test_the_commands_build_and_describe_and_tell_their_steps(gpu, make_onnx, tmp_path, capsys):
    onnx, engine = str(make_onnx()), str(tmp_path / "m.trt")
    assert main(["build-engine", onnx, "--out", engine, "--opt-batchsize", "2", "--max-batchsize", "4"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith(f"wrote {engine} (")
    assert [line.split()[0] for line in err.splitlines()] == ["building", "comparing", "writing", "built"]
    assert main(["info", engine]) == 0
    assert "\nbatch             1 to 4 at once\n" in capsys.readouterr().out
    described = (tmp_path / "m.trt.json").read_bytes()
    (tmp_path / "m.trt.json").unlink()
    assert main(["describe-engine", onnx, engine]) == 0
    assert capsys.readouterr().out.startswith(f"wrote {engine}.json: 3 images")
    assert (tmp_path / "m.trt.json").read_bytes() == described


def test_hardware_compatibility_is_read_from_the_engine(gpu, make_onnx, tmp_path):
    build_engine(make_onnx(), tmp_path / "m.trt", hardware_compatible=True)
    (tmp_path / "m.trt.json").unlink()
    describe_engine(tmp_path / "model.onnx", tmp_path / "m.trt")
    assert json.loads((tmp_path / "m.trt.json").read_text())["hardware_compatible"] is True


def test_an_engine_of_another_model_is_not_described(own, make_onnx, tmp_path):
    other = make_onnx("other.onnx", factor=1.0)
    with pytest.raises(VerificationError, match=r"other\.onnx: the engine gives other scores"):
        describe_engine(other, own)
    assert not (tmp_path / "m.trt.json").exists()


def test_host_code_must_be_allowed(gpu, make_onnx, tmp_path):
    onnx = make_onnx()
    build_engine(onnx, tmp_path / "m.trt", version_compatible=True)
    (tmp_path / "m.trt.json").unlink()
    with pytest.raises(EngineError, match="host code.*needs `version_compatible`"):
        describe_engine(onnx, tmp_path / "m.trt")
    describe_engine(onnx, tmp_path / "m.trt", version_compatible=True)
    assert lt_export.load(tmp_path / "m.trt").selftest()


def test_what_is_no_engine_is_refused(gpu, make_onnx, tmp_path):
    (tmp_path / "m.trt").write_bytes(b"nothing")
    with pytest.raises(EngineError, match=r"m\.trt: TensorRT refuses"):
        describe_engine(make_onnx(), tmp_path / "m.trt")
    with pytest.raises(EdgeModelError, match=r"missing\.trt"):
        describe_engine(make_onnx(), tmp_path / "missing.trt")


def test_without_tensorrt_no_engine_is_described(own, tmp_path, without_tensorrt):
    with pytest.raises(EngineError, match="described where it runs"):
        describe_engine(tmp_path / "model.onnx", own)
