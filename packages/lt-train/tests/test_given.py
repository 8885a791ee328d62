"""`fit` without the facade: what it is given is looked at before a folder is touched."""

from __future__ import annotations

import attrs
import pytest
import torch

from lt_data import Classes, ConfigError, RandomFlip, TransformConfig
from lt_data.torch import Augmentation
from lt_models import ClassifierSpec, build_classifier
from lt_train import (
    AverageArgs,
    LoggerArgs,
    MetricArgs,
    ModelArgs,
    ResumeError,
    RunFolder,
    SaveCheckpointArgs,
    TrainConfig,
    TrainConfigError,
    fit,
)


def test_plain_dicts_are_settings_as_the_documentation_has_them(job, tmp_path):
    by_class = job.run(metric_args=MetricArgs(f1=AverageArgs(average=("weighted",))), model_args=ModelArgs(lr=1e-3))
    by_dict = job.run(
        metric_args={"f1": {"average": ["weighted"]}, "matthews_corrcoef": {}},
        model_args={"lr": 1e-3},
        out=RunFolder(tmp_path / "by_dict"),
    )
    extra = by_dict.last_metrics.keys() - by_class.last_metrics.keys()
    assert extra == {"val_metric/matthews_corrcoef"}
    assert {name: by_dict.last_metrics[name] for name in by_class.last_metrics} == by_class.last_metrics
    inside = MetricArgs(f1={"average": ["weighted"]}, matthews_corrcoef={})
    assert job.run(metric_args=inside, model_args=ModelArgs(lr=1e-3)).last_metrics == by_dict.last_metrics


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"model_args": ModelArgs(sampler="balance")}, r"model_args\.sampler +expected 'balanced'"),
        ({"metric_args": MetricArgs(f1=AverageArgs(average=("marco",)))}, r"metric_args\.f1\.average"),
        ({"model_args": {"class_weight": "balanced"}}, r"model_args\.class_weight +unknown key; did you mean"),
        ({"model_args": {"lr": "1e-3"}}, r"model_args\.lr +expected a finite number"),
        ({"steps": "abc"}, r"steps +expected"),
        ({"model_args": None}, "model_args"),
    ],
)
def test_a_setting_of_another_kind_is_refused_by_its_key(job, settings, told):
    with pytest.raises(ConfigError, match=told):
        job.run(**settings)
    assert not job.out.root.exists()


def other_task(job, **changes):
    return attrs.evolve(job, task=attrs.evolve(job.task, **changes))


def test_a_classifier_that_is_not_of_the_task_is_refused_and_the_earlier_run_stays(job):
    job.run(steps=1)
    before = sorted(job.out.root.rglob("*"))
    four = Classes((0, 1, 2, 3), ("red", "green", "blue", "grey"))
    with pytest.raises(TrainConfigError, match="classifier: has 3 outputs, but the task 4 classes"):
        other_task(job, classes=four).run()
    with pytest.raises(TrainConfigError, match=r"data\.train: the samples are multiclass, but the task is multilabel"):
        other_task(job, task="multilabel").run()
    fewer = attrs.evolve(job.data, val=attrs.evolve(job.data.val, num_classes=7))
    with pytest.raises(TrainConfigError, match=r"data\.val: the samples count in 7 classes, but the task has 3"):
        attrs.evolve(job, data=fewer).run()
    assert sorted(job.out.root.rglob("*")) == before


def test_another_module_is_no_classifier(job):
    with pytest.raises(TrainConfigError, match="expected one of lt_models, .* got Linear"):
        fit(out=job.out, classifier=torch.nn.Linear(3, 3), task=job.task, data=job.data, config=TrainConfig(steps=1))


@pytest.mark.parametrize(
    ("key", "value"), [("head", "mlp"), ("pooling", "avg"), ("head_dropout", 0.5), ("backbone_args", {"foo": 1})]
)
def test_a_model_that_was_built_otherwise_than_asked_for_is_refused(job, key, value):
    with pytest.raises(
        TrainConfigError, match=rf"model_args\.{key}: .* is asked for, but the classifier was built with"
    ):
        job.run(model_args=ModelArgs(**{key: value}))


def test_a_model_that_was_built_as_asked_for_is_trained(job):
    spec = ClassifierSpec(
        model="timm/test_resnet-notpretrained", num_classes=3, image_size=(32, 32), head="mlp", pooling="avg"
    )
    result = fit(
        out=job.out,
        classifier=build_classifier(spec),
        task=job.task,
        data=job.data,
        config=TrainConfig(steps=1, batch_size=8, accelerator="cpu", model_args=ModelArgs(head="mlp", pooling="avg")),
    )
    assert result.best_step == 1


def test_a_resumed_run_refuses_another_augmentation(job):
    settings = {
        "save_checkpoint_args": SaveCheckpointArgs(save_every_num_steps=1),
        "logger_args": LoggerArgs(val_every_num_steps=1),
    }
    job.run(**settings)
    flips = TransformConfig(color_jitter=None, random_flip=RandomFlip(horizontal_prob=0.9))
    augmentation = Augmentation.from_config(flips, job.task.preprocessing)
    changed = attrs.evolve(job, data=attrs.evolve(job.data, augmentation=augmentation))
    with pytest.raises(ResumeError, match=r"augmentation\.random_flip\.\w+: was 0\.\d, is 0\.9"):
        changed.run(resume=True, **settings)


def test_resuming_where_no_run_is_says_how_to_start(job):
    with pytest.raises(ResumeError, match="there is no such checkpoint"):
        job.run(resume=True)
