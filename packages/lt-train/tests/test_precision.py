from __future__ import annotations

import sys

import pytest
import torch
from lightning_fabric.accelerators import cuda

from lt_data import ConfigError, structure
from lt_train import (
    LoggerArgs,
    ModelArgs,
    RunFolder,
    SaveCheckpointArgs,
    TensorBoardArgs,
    TrainConfig,
    TrainConfigError,
    load_exported,
)
from lt_train.devices import (
    as_launched,
    check_devices,
    inputs_of_one_shape,
    matmul_precision_now,
    precision_arguments,
    without_precision_hint,
)

FP16 = {
    "precision": "16-mixed",
    "steps": 8,
    "logger_args": LoggerArgs(log_every_num_steps=1, val_every_num_steps=4),
    "save_checkpoint_args": SaveCheckpointArgs(save_every_num_steps=1),
}


def weights_of(folder: RunFolder) -> dict[str, torch.Tensor]:
    return load_exported(folder.exported_last).state


def dtype_seen(found: set[torch.dtype]):
    """Note what a linear layer gives in training and in validation."""
    return lambda classifier: classifier.head.register_forward_hook(
        lambda module, arguments, output: found.add((module.training, output.dtype))
    )


@pytest.mark.parametrize(("precision", "dtype"), [("16-mixed", torch.float16), ("bf16-mixed", torch.bfloat16)])
def test_training_is_in_the_precision_asked_for_and_validation_in_that_of_the_weights(job, precision, dtype):
    found: set[torch.dtype] = set()
    job.run(precision=precision, steps=2, change=dtype_seen(found))
    assert found == {(True, dtype), (False, torch.float32)}


def overflow_in_step(step: int):
    """Make one step's gradient overflow in fp16, as it does where the loss was scaled too much."""

    def change(classifier):
        passes = iter(range(step))

        def enlarge(module, inputs):
            if module.training and next(passes, None) == step - 1:
                return (inputs[0] * 1e6,)
            return None

        classifier.head.register_forward_pre_hook(enlarge)

    return change


def test_a_gradient_that_overflows_lowers_the_scale_and_the_step_is_skipped(job, tmp_path):
    job.run(**FP16)
    scale = torch.load(job.out.checkpoint, weights_only=True)["scaler"]["scale"]
    other = RunFolder(tmp_path / "other")
    job.run(**FP16, change=overflow_in_step(3), out=other)
    saved = torch.load(other.checkpoint, weights_only=True)
    assert saved["scaler"]["scale"] == scale / 2
    assert saved["skipped"] == 1
    assert all(tensor.isfinite().all() for tensor in weights_of(other).values())


def test_a_run_in_fp16_that_was_stopped_goes_on_with_the_scale_that_it_had(job, tmp_path):
    job.run(**FP16, change=overflow_in_step(2))
    stopped = RunFolder(tmp_path / "stopped")
    passes = iter(range(5))

    def stop_in_step_six(classifier):
        overflow_in_step(2)(classifier)
        classifier.register_forward_pre_hook(lambda module, _: stop() if module.training else None)

    def stop():
        if next(passes, None) is None:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        job.run(**FP16, out=stopped, change=stop_in_step_six)
    assert torch.load(stopped.checkpoint, weights_only=True)["step"] == 5
    job.run(**FP16, out=stopped, resume=True)
    one, other = weights_of(job.out), weights_of(stopped)
    assert all(torch.equal(one[name], other[name]) for name in one)
    ends = [torch.load(folder.checkpoint, weights_only=True)["scaler"] for folder in (job.out, stopped)]
    assert ends[0] == ends[1]
    assert job.out.metrics.read_text() == stopped.metrics.read_text()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"precision": "16-mixed"}, "precision"),
        ({"logger_args": LoggerArgs(tensorboard=TensorBoardArgs(log_graph=True))}, "log_graph"),
    ],
)
def test_what_sharded_weights_cannot_do_is_refused_before_any_process_starts(job, settings, message):
    with pytest.raises(TrainConfigError, match=message):
        job.run(strategy="fsdp", devices=2, **settings)
    assert not job.out.root.exists()


@pytest.mark.parametrize(
    ("given", "meant"), [(32, "32-true"), ("32", "32-true"), (16, "16-mixed"), ("bf16", "bf16-mixed"), (64, "64-true")]
)
def test_precisions_may_be_given_short(given, meant):
    assert structure({"precision": given}, TrainConfig, "").precision == TrainConfig(precision=given).precision == meant


@pytest.mark.parametrize("wrong", [8, "fp16", True, None])
def test_no_other_precision_is_taken(wrong):
    with pytest.raises(ConfigError, match=r"precision +expected one of 'auto', '32-true'"):
        structure({"precision": wrong}, TrainConfig, "")


def test_float32_matmul_precision_holds_for_training_alone_and_is_put_back(job):
    found: set[tuple[object, str]] = set()

    def note(who: object) -> None:
        found.add((who, torch.get_float32_matmul_precision()))

    job.run(
        float32_matmul_precision="medium",
        steps=2,
        change=lambda classifier: classifier.register_forward_pre_hook(lambda module, _: note(module.training)),
        page=lambda result, device: note("page"),
    )
    note("afterwards")
    assert found == {(True, "medium"), (False, "highest"), ("page", "highest"), ("afterwards", "highest")}


def test_float32_matmul_precision_is_put_back_after_an_error(job):
    def fail(module, inputs):
        if module.training:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        job.run(float32_matmul_precision="medium", change=lambda model: model.register_forward_pre_hook(fail))
    assert torch.get_float32_matmul_precision() == "highest"


@pytest.fixture
def precision_by_backend():
    """PyTorch's newer settings; its older functions then refuse to answer."""
    matmul = torch.backends.cuda.matmul
    before, matmul.fp32_precision = matmul.fp32_precision, "tf32"
    yield
    matmul.fp32_precision = before


def test_a_program_that_sets_the_precision_of_each_backend_trains(job, precision_by_backend):
    with pytest.raises(RuntimeError, match="mix of the legacy and new APIs"):
        torch.get_float32_matmul_precision()
    assert job.run(steps=1).best_step == 1
    assert matmul_precision_now() == "set by backend"
    with pytest.raises(TrainConfigError, match="float32_matmul_precision: 'high' .*fp32_precision; leave it 'auto'"):
        job.run(float32_matmul_precision="high")


def test_fabric_does_not_ask_for_the_precision_that_pytorch_refuses_to_tell(monkeypatch, precision_by_backend):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(cuda, "_is_ampere_or_later", lambda device: True)
    gpu = torch.device("cuda", 0)
    with pytest.raises(RuntimeError, match="mix of the legacy and new APIs"):
        cuda._check_cuda_matmul_precision(gpu)
    with without_precision_hint():
        cuda._check_cuda_matmul_precision(gpu)
    with pytest.raises(RuntimeError):
        cuda._check_cuda_matmul_precision(gpu)


@pytest.mark.parametrize(
    ("accelerator", "has", "expected"),
    [("cpu", True, "32-true"), ("auto", True, "bf16-mixed"), ("auto", False, "32-true"), ("cuda", True, "bf16-mixed")],
)
def test_automatic_precision_is_that_of_the_device_which_trains(monkeypatch, accelerator, has, expected):
    asked = []

    def is_bf16_supported(including_emulation):
        asked.append(torch.cuda.device.current)
        return has

    class Current:
        current = None

        def __init__(self, index: int) -> None:
            self.index = index

        def __enter__(self) -> None:
            Current.current = self.index

        def __exit__(self, *error: object) -> None:
            Current.current = None

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device", Current)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", is_bf16_supported)
    config = TrainConfig(accelerator=accelerator, devices=1 if accelerator == "cpu" else (1,))
    assert precision_arguments(config) == {"precision": expected}
    assert asked == ([] if accelerator == "cpu" else [1])


def test_an_average_of_weights_in_64_bits_is_one_of_64_bits(job):
    job.run(precision="64-true", model_args=ModelArgs(ema_decay=0.9))
    assert {tensor.dtype for tensor in weights_of(job.out).values() if tensor.is_floating_point()} == {torch.float64}


def test_a_notebook_takes_one_of_several_gpus_and_says_so(monkeypatch, caplog):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert as_launched(TrainConfig()).devices == "auto"
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    assert as_launched(TrainConfig()).devices == 1
    assert "training on one of 2 GPUs" in caplog.text
    assert as_launched(TrainConfig(accelerator="cpu")).devices == "auto"


@pytest.mark.parametrize("devices", [2, "2", (0, 1), "0,1"])
def test_a_notebook_refuses_what_needs_several_processes(monkeypatch, devices):
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(TrainConfigError, match="more than one process, which a notebook"):
        check_devices(TrainConfig(devices=devices, batch_size=2))
    monkeypatch.setenv("LOCAL_RANK", "0")  # torchrun has started them already
    check_devices(TrainConfig(devices=devices, batch_size=2))


def test_64_bits_on_apples_gpu_are_refused(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    with pytest.raises(TrainConfigError, match="no 64 bits"):
        check_devices(TrainConfig(precision="64-true"))
    check_devices(TrainConfig(precision="64-true", accelerator="cpu"))


def test_cudnn_looks_for_its_fastest_algorithms_where_all_inputs_have_one_shape(monkeypatch):
    cudnn = torch.backends.cudnn

    def found(kind: str) -> bool:
        with inputs_of_one_shape(torch.device(kind)):
            return cudnn.benchmark

    assert (found("cuda"), found("cpu"), cudnn.benchmark) == (True, False, False)
    with pytest.raises(ZeroDivisionError), inputs_of_one_shape(torch.device("cuda")):
        raise ZeroDivisionError
    assert not cudnn.benchmark
    monkeypatch.setattr(cudnn, "deterministic", True)
    assert not found("cuda")
