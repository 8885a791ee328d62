from __future__ import annotations

import io
import json
import os
import pickle
import struct
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from lt_models import WeightsError
from lt_models.weights.reading import read_state

STATE = {"conv.weight": torch.arange(24.0).reshape(2, 3, 2, 2), "conv.bias": torch.tensor([1.0, 2.0])}


def same(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor] = STATE) -> bool:
    return list(found) == list(expected) and all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("ending", [".pt", ".pth", ".ckpt", ".bin"])
@pytest.mark.parametrize("archive", [True, False], ids=["archive", "before PyTorch 1.6"])
def test_files_of_torch_save_are_read(tmp_path, ending, archive):
    torch.save(STATE, tmp_path / f"x{ending}", _use_new_zipfile_serialization=archive)
    assert same(read_state(tmp_path / f"x{ending}"))


@pytest.mark.parametrize("ending", [".safetensors", ".pth"])
def test_safetensors_are_known_by_their_content(tmp_path, ending):
    save_file(STATE, tmp_path / f"x{ending}")
    assert same(dict(sorted(read_state(str(tmp_path / f"x{ending}")).items())), dict(sorted(STATE.items())))


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {"state_dict": state, "epoch": 3},
        lambda state: {"model": state, "optimizer": {"state": {}}},
        lambda state: {"teacher": state, "student": {}},
        lambda state: {"model": {"state_dict": state}},
        lambda state: {"epoch": 3, "best": 0.9, **state},
        lambda state: {f"module.{name}": value for name, value in state.items()},
        lambda state: {f"_orig_mod.module.{name}": value for name, value in state.items()},
        lambda state: {"model": {f"module.backbone.{name}": value for name, value in state.items()}},
    ],
)
def test_what_training_programs_wrap_around_the_weights_is_taken_off(tmp_path, wrap):
    torch.save(wrap(STATE), tmp_path / "x.pth")
    assert same(read_state(tmp_path / "x.pth"))


def test_of_a_backbone_and_more_only_the_backbone_is_returned(tmp_path):
    head = {"head.weight": torch.zeros(3, 2), "dino_head.mlp.0.weight": torch.zeros(2, 2)}
    torch.save({"teacher": {**{f"backbone.{name}": v for name, v in STATE.items()}, **head}}, tmp_path / "x.pth")
    assert same(read_state(tmp_path / "x.pth"))


@pytest.mark.skipif(sys.platform != "linux", reason="looks at Linux' list of mapped files")
def test_tensors_are_mapped_from_the_file_not_read(tmp_path):
    torch.save({"x": torch.zeros(1_000_000)}, tmp_path / "x.pth")
    state = read_state(tmp_path / "x.pth")
    assert str(tmp_path / "x.pth") in Path("/proc/self/maps").read_text()
    assert state["x"].shape == (1_000_000,)


class Malicious:
    """Runs a command when it is unpickled."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self):
        return (os.system, (self.command,))


@pytest.mark.parametrize("archive", [True, False], ids=["archive", "before PyTorch 1.6"])
@pytest.mark.parametrize("ending", [".pth", ".safetensors"])
def test_nothing_in_a_file_is_executed(tmp_path, archive, ending):
    bomb = {"conv.weight": torch.zeros(2), "x": Malicious(f"touch {tmp_path / 'executed'}")}
    file = tmp_path / f"x{ending}"
    torch.save(bomb, file, _use_new_zipfile_serialization=archive)
    with pytest.raises(WeightsError, match="nothing in it was executed") as caught:
        read_state(file)
    assert "system" in str(caught.value)
    assert caught.value.path == file
    assert not (tmp_path / "executed").exists()
    torch.load(io.BytesIO(file.read_bytes()), weights_only=False)
    assert (tmp_path / "executed").exists(), "the bomb of this test is none"


def test_a_plain_pickle_is_not_executed_either(tmp_path):
    (tmp_path / "x.pth").write_bytes(pickle.dumps({"x": Malicious(f"touch {tmp_path / 'executed'}")}))
    with pytest.raises(WeightsError, match="nothing in it was executed"):
        read_state(tmp_path / "x.pth")
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    ("value", "named"),
    [(np.float64(1.0), "numpy"), (nn.Linear(2, 2), "torch.nn.modules.linear.Linear")],
    ids=["numpy scalar", "module"],
)
def test_objects_that_only_unpickling_could_read_are_named(tmp_path, value, named):
    torch.save({"state_dict": STATE, "best": value}, tmp_path / "x.pth")
    with pytest.raises(WeightsError, match="save the tensors alone") as caught:
        read_state(tmp_path / "x.pth")
    assert named in str(caught.value)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is empty"),
        (b"hello", "neither a file of torch.save nor safetensors"),
        (b"<!DOCTYPE html><html>403</html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "git lfs pull"),
        (b"PK\x03\x04" + b"\0" * 100, "damaged"),
        (b"\x80\x02", "damaged"),
        (struct.pack("<Q", 50) + b'{"x"' + b" " * 46, "damaged"),
        (struct.pack("<Q", 10**7) + b"{}", "damaged"),
    ],
)
def test_files_that_are_none_say_what_they_are(tmp_path, content, problem):
    (tmp_path / "x.pth").write_bytes(content)
    with pytest.raises(WeightsError, match=problem) as caught:
        read_state(tmp_path / "x.pth")
    assert str(tmp_path / "x.pth") in str(caught.value)


def test_missing_files_and_folders_are_told_apart(tmp_path):
    with pytest.raises(WeightsError, match="no such file"):
        read_state(tmp_path / "x.pth")
    with pytest.raises(WeightsError, match="is a folder"):
        read_state(tmp_path)


@pytest.mark.parametrize("content", [{}, {"state_dict": {}}, {"epoch": 3}, [STATE], torch.zeros(3), 5])
def test_a_file_without_tensors_by_name_says_what_it_holds(tmp_path, content):
    torch.save(content, tmp_path / "x.pth")
    with pytest.raises(WeightsError, match="holds no tensors by name"):
        read_state(tmp_path / "x.pth")


def saved(kind: str) -> bytes:
    stream = io.BytesIO()
    if kind == "safetensors":
        header = json.dumps({"x": {"dtype": "F32", "shape": [50], "data_offsets": [0, 200]}}).encode()
        return struct.pack("<Q", len(header)) + header + bytes(200)
    torch.save({"x": torch.zeros(50)}, stream, _use_new_zipfile_serialization=kind == "archive")
    return stream.getvalue()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
@given(kind=st.sampled_from(["archive", "legacy", "safetensors"]), data=st.data())
def test_a_truncated_or_damaged_file_is_an_error_or_still_a_state_and_nothing_else(tmp_path, kind, data):
    content = bytearray(saved(kind))
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    for _ in range(data.draw(st.integers(0, 4))):
        if content:
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    file = tmp_path / "x.pth"
    file.write_bytes(content)
    try:
        state = read_state(file)
    except WeightsError as error:
        assert error.path == file
    else:
        assert all(torch.is_tensor(value) for value in state.values())


@pytest.mark.parametrize("kind", ["archive", "legacy", "safetensors"])
def test_every_truncation_of_a_small_file_is_an_error(tmp_path, kind):
    content = saved(kind)
    for length in range(0, len(content), 7):
        (tmp_path / "x.pth").write_bytes(content[:length])
        with pytest.raises(WeightsError):
            read_state(tmp_path / "x.pth")


def repacked(content: bytes, change) -> bytes:
    """The archive with `change` made to the entries' content, stored or packed as it says."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(stream, "w") as new:
        for entry in old.infolist():
            body, kind = change(entry.filename, old.read(entry))
            new.writestr(entry.filename, body, compress_type=kind)
    return stream.getvalue()


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path):
    def bomb(name, body):
        return (bytes(50_000_000), zipfile.ZIP_DEFLATED) if name.endswith("data/0") else (body, zipfile.ZIP_STORED)

    (tmp_path / "x.pth").write_bytes(repacked(saved("archive"), bomb))
    assert (tmp_path / "x.pth").stat().st_size < 100_000
    with pytest.raises(WeightsError, match="unpacks to more"):
        read_state(tmp_path / "x.pth")


def test_a_view_that_claims_more_than_the_file_holds_is_refused(tmp_path):
    torch.save({"x": torch.zeros(1).expand(10**12)}, tmp_path / "x.pth")
    with pytest.raises(WeightsError, match="more than the file holds"):
        read_state(tmp_path / "x.pth")


@pytest.mark.filterwarnings("ignore:Validating sparse")
def test_tensors_that_are_not_plain_are_refused(tmp_path):
    torch.save({"x": torch.eye(3).to_sparse()}, tmp_path / "x.pth")
    with pytest.raises(WeightsError, match="not a plain tensor"):
        read_state(tmp_path / "x.pth")
    torch.save({"x": torch.zeros(3, device="meta")}, tmp_path / "x.pth")
    with pytest.raises(WeightsError, match="not a plain tensor"):
        read_state(tmp_path / "x.pth")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_torchscript_program_is_refused(tmp_path):
    torch.jit.save(torch.jit.trace(nn.Linear(2, 2), torch.zeros(1, 2)), tmp_path / "x.pt")
    with pytest.raises(WeightsError, match="TorchScript"):
        read_state(tmp_path / "x.pt")
