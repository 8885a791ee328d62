"""An engine is native code: what is not exactly what the file beside it describes never reaches TensorRT."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import lt_export
from lt_export import EdgeModelError, build_engine
from lt_export.cli import main
from lt_export.runtime import engine_file


@pytest.fixture
def engine(gpu, make_onnx, tmp_path):
    build_engine(make_onnx(), tmp_path / "m.trt")
    gpu.tensorrt.Runtime.deserialized = 0
    return tmp_path / "m.trt"


def edited(engine, **changes) -> None:
    manifest = engine.with_name("m.trt.json")
    content = {**json.loads(manifest.read_text(encoding="utf-8")), **changes}
    manifest.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


def refused(gpu, engine, match: str, **arguments) -> None:
    with pytest.raises(EdgeModelError, match=match):
        lt_export.load(engine, **arguments)
    assert gpu.deserialized == 0


def test_what_was_built_here_is_loaded(gpu, engine):
    assert lt_export.load(str(engine)).classes == {10: "red", 20: "grün", 30: "blue"}
    assert gpu.deserialized == 1


def test_without_the_file_beside_it_an_engine_is_refused(gpu, engine):
    engine.with_name("m.trt.json").unlink()
    refused(gpu, engine, r"m\.trt\.json is missing.*native code.*describe_engine")


@pytest.mark.parametrize("place", [0, 100, -1])
def test_one_changed_byte_is_refused(gpu, engine, place):
    content = bytearray(engine.read_bytes())
    content[place] ^= 1
    engine.write_bytes(content)
    refused(gpu, engine, "SHA-256 differs")


def test_an_engine_that_is_cut_short_is_refused_before_it_is_read(gpu, engine, monkeypatch):
    engine.write_bytes(engine.read_bytes()[:-1])
    monkeypatch.setattr(engine_file, "sha256", None)
    refused(gpu, engine, "do not belong together")


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff\xfe", b"[" * 100_000, b'{"format": "other"}', b"null"])
def test_a_file_beside_it_that_is_something_else_is_refused(gpu, engine, content):
    engine.with_name("m.trt.json").write_bytes(content)
    refused(gpu, engine, r"m\.trt\.json")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 2}, "reads version 1"),
        ({"task_spec": {}}, "task description"),
        ({"task_spec": "x"}, "task_spec"),
        ({"precision": "fp64"}, "precision"),
        ({"reference_scores": [[1.0]]}, "reshape"),
        ({"reference_scores": [[1.0, 2.0], [3.0]]}, "m.trt.json"),
        ({"reference_scores": [[float("nan"), 0.0, 0.0]]}, "finite"),
        ({"reference_scores": {"a": 1}}, "m.trt.json"),
        ({"min_batchsize": 0}, "min_batchsize"),
        ({"max_batchsize": 10**30}, "max_batchsize"),
        ({"max_batchsize": 1.5}, "max_batchsize"),
        ({"gpu": {"name": "x"}}, "compute_capability"),
        ({"engine_sha256": 5}, "engine_sha256"),
        ({"version_compatible": "yes"}, "version_compatible"),
        ({"further": 1}, "further"),
        ({"onnx_sha256": None}, "onnx_sha256"),
        ({"engine_sha256": "0" * 64}, "SHA-256 differs"),
        ({"engine_bytes": -1}, "do not belong together"),
    ],
)
def test_every_wrong_key_is_named(gpu, engine, changes, message):
    edited(engine, **changes)
    refused(gpu, engine, message)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(data=st.data())
def test_a_damaged_description_is_an_error_of_ours_or_says_the_same(gpu, engine, data):
    manifest = engine.with_name("m.trt.json")
    whole = manifest.read_bytes()
    content = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    manifest.write_bytes(content[: data.draw(st.integers(len(content) // 2, len(content)))])
    try:
        lt_export.load(engine)
    except EdgeModelError as error:
        assert str(engine) in str(error)
    finally:
        manifest.write_bytes(whole)


def test_files_that_are_too_large_are_refused(gpu, engine, monkeypatch):
    monkeypatch.setattr(engine_file, "MAX_MANIFEST_BYTES", 100)
    refused(gpu, engine, r"m\.trt\.json: has .* expected 1 to 100")
    monkeypatch.setattr(engine_file, "MAX_ENGINE_BYTES", 100)
    refused(gpu, engine, r"m\.trt: has .* expected 1 to 100")


@pytest.mark.parametrize("name", ["nothing.trt", "folder.engine"])
def test_what_is_no_file_is_named(gpu, tmp_path, name):
    (tmp_path / "folder.engine").mkdir()
    refused(gpu, tmp_path / name, name)


@pytest.mark.parametrize(
    ("major", "version", "compatible", "loads"),
    [
        (10, "10.13.3.9", False, True),
        (10, "10.13.3.9.post1", False, True),
        (10, "10.13.3.10", False, False),
        (10, "10.14.1.48", False, False),
        (10, "10.14.1.48", True, True),
        (11, "11.4.0.106", True, True),
        (10, "10.9.0.34", True, False),
    ],
)
def test_an_engine_of_another_version_is_refused_unless_it_was_built_for_newer_ones(
    install_gpu, make_onnx, tmp_path, major, version, compatible, loads
):
    install_gpu(10)
    build_engine(make_onnx(), tmp_path / "m.trt", version_compatible=compatible)
    here = install_gpu(major, version=version)
    if loads:
        assert lt_export.load(tmp_path / "m.trt").selftest().agreement.agreement == 1.0
    else:
        refused(here, tmp_path / "m.trt", "10.13.3.9")


@pytest.mark.parametrize(
    ("other", "compatible", "loads"),
    [
        (("NVIDIA Other Fake", 8, 9), False, False),
        (("NVIDIA Fake", 8, 6), False, False),
        (("NVIDIA Other Fake", 12, 0), True, True),
        (("NVIDIA Old Fake", 7, 5), True, False),
    ],
)
def test_an_engine_for_another_gpu_is_refused_unless_it_was_built_for_others(
    gpu, make_onnx, tmp_path, other, compatible, loads
):
    build_engine(make_onnx(), tmp_path / "m.trt", hardware_compatible=compatible)
    gpu.tensorrt.Runtime.deserialized = 0
    gpu.cuda.state.devices[0] = other
    if loads:
        assert lt_export.load(tmp_path / "m.trt").selftest().agreement.agreement == 1.0
    else:
        refused(gpu, tmp_path / "m.trt", other[0])


def test_an_engine_of_another_system_is_refused(gpu, engine):
    edited(engine, system="Windows AMD64")
    refused(gpu, engine, "built on Windows AMD64")


def test_host_code_runs_only_from_engines_that_say_so(gpu, engine, make_onnx, tmp_path):
    build_engine(make_onnx(), engine, version_compatible=True)
    edited(engine, version_compatible=False)
    with pytest.raises(EdgeModelError, match="host code"):
        lt_export.load(engine)


def test_an_engine_of_something_else_with_a_forged_description_is_refused(gpu, engine, make_onnx):
    changed = engine.read_bytes().replace(b"fake engine", b"fake machin")
    engine.write_bytes(changed)
    edited(engine, engine_sha256=engine_file.sha256(changed))
    with pytest.raises(EdgeModelError, match=r"m\.trt: TensorRT refuses the engine: .*magic tag"):
        lt_export.load(engine)


def test_a_description_whose_model_or_batch_is_not_the_engines_is_refused(gpu, engine):
    edited(engine, max_batchsize=7)
    with pytest.raises(EdgeModelError, match="its description says"):
        lt_export.load(engine)
    spec = json.loads(engine.with_name("m.trt.json").read_text())["task_spec"]
    spec["preprocessing"]["image_size"] = [24, 16]
    edited(engine, task_spec=spec)
    with pytest.raises(EdgeModelError, match="expected `images` as float32"):
        lt_export.load(engine)


@pytest.mark.parametrize("device", ["cpu", "coreml", "nonsense"])
def test_devices_without_tensorrt_are_refused(gpu, engine, device):
    refused(gpu, engine, "auto, cuda, tensorrt", device=device)


@pytest.mark.parametrize("device", ["auto", "cuda", "tensorrt"])
def test_each_name_of_the_gpu_is_taken(gpu, engine, device):
    assert "TensorRT" in lt_export.load(engine, device=device).device


def test_threads_of_the_processor_are_not_for_engines(gpu, engine):
    refused(gpu, engine, "num_threads is for ONNX files", num_threads=2)


def test_without_tensorrt_it_is_said_what_is_missing(gpu, engine, without_tensorrt):
    refused(gpu, engine, r"m\.trt: cannot run here\. TensorRT is not installed")


def test_the_command_builds_an_engine_and_says_what_one_is(gpu, make_onnx, tmp_path, capsys):
    assert main(["build-engine", str(make_onnx()), "--out", str(tmp_path / "own.trt"), "--max-batchsize", "2"]) == 0
    assert capsys.readouterr().out.startswith(f"wrote {tmp_path / 'own.trt'}")
    assert main(["info", str(tmp_path / "own.trt"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [entry["name"] for entry in found["classes"]] == ["red", "grün", "blue"]
    assert found["bytes"] == (tmp_path / "own.trt").stat().st_size
    assert main(["selftest", str(tmp_path / "own.trt")]) == 0
