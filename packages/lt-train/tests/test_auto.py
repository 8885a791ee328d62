from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lt_data import ConfigError, structure
from lt_train import LoggerArgs, ModelArgs, TrainConfig, TrainConfigError
from lt_train.auto import make_plan
from lt_train.devices import as_launched
from lt_train.optim import lr_at


def plan(config: TrainConfig | None = None, *, num_samples: int = 1000, world_size: int = 1):
    return make_plan(config or TrainConfig(), num_samples=num_samples, world_size=world_size)


def test_steps_follow_the_size_of_the_data_set_with_a_reason():
    small, reasons = plan(num_samples=100)
    large, _ = plan(num_samples=100_000)
    assert small.steps == 500
    assert large.steps == 100_000
    assert plan(num_samples=16_000)[0].steps == 30_000
    assert "30 epochs of 6.2 steps" in reasons["steps"]


def test_epochs_become_steps():
    assert plan(TrainConfig(epochs=2.5, batch_size=10), num_samples=100)[0].steps == 25


def test_the_learning_rate_scales_with_the_square_root_of_the_effective_batch():
    config = TrainConfig(batch_size=32, gradient_accumulation_steps=2, model_args=ModelArgs(lr=1e-3))
    assert plan(config)[0].lr == pytest.approx(2e-3)


def test_the_batch_is_never_larger_than_the_data_and_divides_over_the_devices():
    assert plan(num_samples=5)[0].batch_size == 5
    assert plan(num_samples=15, world_size=4)[0].batch_size == 12
    with pytest.raises(TrainConfigError, match="cannot be divided evenly over 3 devices"):
        plan(TrainConfig(batch_size=16), world_size=3)


@given(steps=st.integers(1, 5000), asked=st.none() | st.integers(0, 5000))
def test_warm_up_never_exceeds_a_tenth_of_the_run(steps, asked):
    args = ModelArgs() if asked is None else ModelArgs(lr_warmup_steps=asked)
    made, reasons = plan(TrainConfig(steps=steps, model_args=args))
    assert made.warmup_steps <= steps / 10
    if asked is not None and asked > steps // 10:
        assert "model_args.lr_warmup_steps" in reasons


@given(num_samples=st.integers(1, 2_000_000), steps=st.integers(1, 100_000))
def test_validation_comes_once_an_epoch_or_every_1000_steps_but_at_most_a_hundred_times(num_samples, steps):
    made, _ = plan(TrainConfig(steps=steps), num_samples=num_samples)
    epoch, hundredth = -(-num_samples // made.batch_size), -(-steps // 100)
    assert made.val_every == max(min(epoch, 1000), hundredth)
    assert steps / made.val_every <= 100


@given(num_samples=st.integers(1, 2_000_000), steps=st.integers(1, 2_000_000))
def test_validations_are_never_more_than_1000_steps_apart_however_long_the_run_is(num_samples, steps):
    assert plan(TrainConfig(steps=steps), num_samples=num_samples)[0].val_every <= 1000


def test_a_run_of_half_a_million_steps_validates_every_1000():
    assert plan(TrainConfig(steps=500_000), num_samples=320)[0].val_every == 1000


def test_a_frozen_backbone_is_neither_decayed_nor_warmed_up_nor_clipped():
    made, _ = plan(TrainConfig(model_args=ModelArgs(backbone_freeze=True)))
    assert (made.weight_decay, made.warmup_steps, made.clip_norm) == (0.0, 0, 0.0)


def test_what_is_set_stays():
    config = TrainConfig(
        steps=7,
        batch_size=3,
        num_workers=0,
        model_args=ModelArgs(weight_decay=0.5, gradient_clip_val=0.0),
        logger_args=LoggerArgs(log_every_num_steps=2, val_every_num_steps=3),
    )
    made, reasons = plan(config)
    assert (made.steps, made.batch_size, made.num_workers) == (7, 3, 0)
    assert (made.weight_decay, made.clip_norm, made.log_every, made.val_every) == (0.5, 0.0, 2, 3)
    assert not {"steps", "batch_size", "num_workers", "model_args.weight_decay"} & set(reasons)


def test_the_learning_rate_rises_to_its_peak_and_falls_to_nearly_zero():
    made, _ = plan(TrainConfig(steps=200, batch_size=16))
    rates = [lr_at(step, made) for step in range(200)]
    assert rates[0] == pytest.approx(made.lr / made.warmup_steps)
    assert max(rates) == pytest.approx(made.lr)
    assert rates.index(max(rates)) in (made.warmup_steps - 1, made.warmup_steps)
    assert 0 < rates[-1] < made.lr / 1000
    assert rates[20:] == sorted(rates[20:], reverse=True)


def test_steps_and_epochs_together_are_refused():
    with pytest.raises(ConfigError, match="epochs  give either steps or epochs"):
        structure({"steps": 3, "epochs": 2}, TrainConfig, "")


@pytest.mark.parametrize(("blocks", "decay"), [(12, 0.75), (24, 0.866), (40, 0.917)])
def test_the_stem_of_a_deep_tuned_transformer_learns_at_one_rate_however_deep_it_is(blocks, decay):
    made, reasons = make_plan(TrainConfig(), num_samples=100, world_size=1, tuned_blocks=blocks)
    assert made.layer_decay == pytest.approx(decay, abs=1e-3)
    assert made.layer_decay**blocks == pytest.approx(0.75**12)
    assert str(blocks) in reasons["model_args.layer_decay"]


@pytest.mark.parametrize("blocks", [1, 6, 11])
def test_a_shallow_transformer_has_the_layer_decay_of_one_with_12_blocks(blocks):
    assert make_plan(TrainConfig(), num_samples=100, world_size=1, tuned_blocks=blocks)[0].layer_decay == 0.75


@pytest.mark.parametrize(
    ("settings", "blocks", "decay"),
    [
        ({}, None, 1.0),
        ({"backbone_freeze": 2}, 12, 1.0),
        ({"layer_decay": None}, 12, 1.0),
        ({"layer_decay": 0.6}, None, 0.6),
    ],
)
def test_other_models_have_no_layer_decay_unless_it_is_set(settings, blocks, decay):
    config = TrainConfig(model_args=ModelArgs(**settings))
    assert make_plan(config, num_samples=100, world_size=1, tuned_blocks=blocks)[0].layer_decay == decay


def test_processes_of_one_machine_share_its_processors():
    one, _ = plan(TrainConfig())
    two, reasons = make_plan(TrainConfig(), num_samples=100, world_size=2)
    apart, _ = make_plan(TrainConfig(num_nodes=2), num_samples=100, world_size=2)
    assert two.num_workers == max(1, one.num_workers // 2)
    assert apart.num_workers == one.num_workers
    assert "2 processes" in reasons["num_workers"]


@pytest.mark.parametrize(
    ("local", "world", "devices", "expected"),
    [(2, 2, "auto", (2, 1)), (2, 6, "auto", (2, 3)), (1, 2, "auto", (1, 2)), (2, 6, 4, (4, 3))],
)
def test_what_torchrun_started_is_what_an_open_number_of_devices_means(monkeypatch, local, world, devices, expected):
    started = {"TORCHELASTIC_RUN_ID": "x", "LOCAL_WORLD_SIZE": str(local), "WORLD_SIZE": str(world)}
    for name, value in started.items():
        monkeypatch.setenv(name, value)
    config = as_launched(TrainConfig(devices=devices))
    assert (config.devices, config.num_nodes) == expected
    monkeypatch.delenv("TORCHELASTIC_RUN_ID")
    assert as_launched(TrainConfig(devices=devices)) == TrainConfig(devices=devices)
