from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from lt_data import Calibration, Classes, ConfigError, Preprocessing, TaskSpec, structure
from lt_train import MetricArgs, TrainConfigError, measure
from lt_train.metrics.build import make_tally, watchable, watched_metric
from lt_train.metrics.exact import exact_mean, exact_sum
from lt_train.metrics.plan import LESS_IS_BETTER, plan_metrics

AVERAGES = ["micro", "macro", "weighted"]
EVERY_AVERAGE = {key: {"average": AVERAGES} for key in ("accuracy", "f1", "precision", "recall")}
MULTICLASS = {
    **EVERY_AVERAGE,
    "balanced_accuracy": {},
    "matthews_corrcoef": {},
    "expected_calibration_error": {},
    "classwise": True,
}
MULTILABEL = {
    **EVERY_AVERAGE,
    "auroc": {"average": AVERAGES},
    "average_precision": {"average": AVERAGES},
    "exact_match": {},
    "classwise": True,
}


def tally_for(task: str, num_classes: int, settings: dict[str, object] | None = None):
    args = structure(settings or {}, MetricArgs, "metric_args")
    return make_tally(plan_metrics(args, task, tuple(f"c{i}" for i in range(num_classes))))


def counted(task: str, scores, targets, settings: dict[str, object] | None = None) -> dict[str, float]:
    tally = tally_for(task, scores.shape[1], settings)
    tally.update(scores, targets)
    return tally.values()


def drawn_scores(draw, shape) -> np.ndarray:
    scores = np.random.default_rng(draw(st.integers(0, 2**32))).random(shape).astype(np.float32)
    return scores.round(draw(st.integers(0, 1))) if draw(st.booleans()) else scores  # ties


@st.composite
def multiclass_samples(draw, min_classes=2):
    num_classes = draw(st.integers(min_classes, 8))
    count = draw(st.integers(1, 40))
    scores = drawn_scores(draw, (count, num_classes))
    absent = draw(st.integers(0, num_classes - 1))
    targets = np.random.default_rng(draw(st.integers(0, 2**32))).integers(0, num_classes - absent, count)
    return scores, targets


@st.composite
def multilabel_samples(draw):
    shape = draw(st.integers(1, 40)), draw(st.integers(1, 6))
    targets = np.random.default_rng(draw(st.integers(0, 2**32))).random(shape) < draw(st.sampled_from([0.05, 0.5, 1.0]))
    return drawn_scores(draw, shape), targets.astype(np.float32)


@given(multiclass_samples())
def test_multiclass_averages_equal_scikit_learns_over_the_classes_that_have_samples(samples):
    scores, targets = samples
    predicted, present = scores.argmax(axis=1), np.unique(targets)
    values = counted("multiclass", scores, targets, MULTICLASS)
    for average in AVERAGES:
        labels = present if average != "micro" else np.arange(scores.shape[1])
        expected = sk.precision_recall_fscore_support(
            targets, predicted, labels=labels, average=average, zero_division=0
        )
        found = [values[f"{key}_{average}"] for key in ("precision", "recall", "f1")]
        assert found == pytest.approx(expected[:3], abs=1e-6)


@given(multiclass_samples(min_classes=3))
def test_topk_accuracies_equal_scikit_learns_where_no_scores_tie(samples):
    scores, targets = samples
    scores = scores + np.arange(scores.shape[1], dtype=np.float32)[::-1] * 1e-4  # ties fall in output order
    labels = np.arange(scores.shape[1])
    values = counted("multiclass", scores, targets, {"accuracy": {"topk": [1, 2, 5], "average": AVERAGES}})
    for k in (1, 2, 5):
        assert (f"top{k}_acc_micro" in values) == (len(labels) > k)
        if len(labels) > k:
            of_class = [
                sk.top_k_accuracy_score(targets[targets == i], scores[targets == i], k=k, labels=labels)
                for i in np.unique(targets)
            ]
            assert values[f"top{k}_acc_macro"] == pytest.approx(np.mean(of_class), abs=1e-6)
            expected = sk.top_k_accuracy_score(targets, scores, k=k, labels=labels)
            assert values[f"top{k}_acc_micro"] == pytest.approx(expected, abs=1e-6)
            assert values[f"top{k}_acc_weighted"] == pytest.approx(expected, abs=1e-6)


@given(multiclass_samples())
@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true", "ignore:A single label was found")
def test_balanced_accuracy_and_matthews_coefficient_equal_scikit_learns(samples):
    scores, targets = samples
    predicted = scores.argmax(axis=1)
    values = counted("multiclass", scores, targets, MULTICLASS)
    assert values["balanced_accuracy"] == pytest.approx(sk.balanced_accuracy_score(targets, predicted), abs=1e-6)
    assert values["matthews_corrcoef"] == pytest.approx(sk.matthews_corrcoef(targets, predicted), abs=1e-6)


@given(multiclass_samples(), st.integers(1, 20))
def test_the_calibration_error_is_that_of_the_paper(samples, num_bins):
    scores, targets = samples
    expected = 0.0
    confidence, correct = scores.max(axis=1).astype(np.float64), scores.argmax(axis=1) == targets
    for m in range(num_bins):
        inside = (confidence * num_bins > m) & (confidence * num_bins <= m + 1)
        inside |= (confidence == 0) & (m == 0)
        if inside.any():
            expected += inside.sum() / len(targets) * abs(correct[inside].mean() - confidence[inside].mean())
    settings = {"expected_calibration_error": {"num_bins": num_bins}}
    found = counted("multiclass", scores, targets, settings)["expected_calibration_error"]
    assert found == pytest.approx(expected, abs=1e-6)


@given(multiclass_samples())
def test_class_wise_values_and_confusions_equal_scikit_learns(samples):
    scores, targets = samples
    labels = np.arange(scores.shape[1])
    tally = tally_for("multiclass", len(labels), MULTICLASS)
    tally.update(scores, targets)
    values, table = tally.values(), tally.table()
    expected = sk.precision_recall_fscore_support(targets, scores.argmax(axis=1), labels=labels, zero_division=0)
    np.testing.assert_array_equal(table.support, expected[3])
    for key, of_class in zip(("precision", "recall", "f1"), expected, strict=False):
        for i in labels:
            found = {values[f"{key}/c{i}"], float(table.columns[key][i])}
            if expected[3][i]:
                assert all(value == pytest.approx(of_class[i], abs=1e-6) for value in found)
            else:
                assert all(math.isnan(value) for value in found)
    confusion = np.zeros((len(labels), len(labels)), dtype=np.int64)
    confusion[table.confusion[:, 0], table.confusion[:, 1]] = table.confusion[:, 2]
    np.testing.assert_array_equal(confusion, sk.confusion_matrix(targets, scores.argmax(axis=1), labels=labels))
    assert (table.confusion[:, 2] > 0).all()


@given(multilabel_samples(), st.sampled_from([0.3, 0.5, 0.9]))
def test_multilabel_values_equal_scikit_learns_over_the_classes_that_have_samples(samples, threshold):
    scores, targets = samples
    predicted, present = scores > np.float32(threshold), np.flatnonzero(targets.any(axis=0))
    values = counted("multilabel", scores, targets, {**MULTILABEL, "threshold": threshold})
    truth = targets.astype(bool)
    for average in AVERAGES:
        if not len(present):
            continue
        chosen = np.arange(scores.shape[1]) if average == "micro" else present
        # scikit-learn takes a single column for a binary task.
        some, kind = (chosen, average) if len(chosen) > 1 else (chosen[0], "binary")
        expected = sk.precision_recall_fscore_support(truth[:, some], predicted[:, some], average=kind, zero_division=0)
        found = [values[f"{key}_{average}"] for key in ("precision", "recall", "f1")]
        assert found == pytest.approx(expected[:3], abs=1e-6)
    assert values["hamming_distance"] == pytest.approx(sk.hamming_loss(truth, predicted), abs=1e-6)
    assert values["accuracy"] == pytest.approx(sk.accuracy_score(truth.ravel(), predicted.ravel()), abs=1e-6)
    assert values["exact_match"] == pytest.approx(sk.accuracy_score(truth, predicted), abs=1e-6)


@given(multilabel_samples())
def test_rankings_equal_scikit_learns_over_the_classes_that_have_them(samples):
    scores, targets = samples
    values = counted("multilabel", scores, targets, MULTILABEL)
    support = targets.sum(axis=0)
    ranked = (support > 0) & (support < len(targets))
    for key, score, defined in (
        ("auroc", sk.roc_auc_score, ranked),
        ("average_precision", sk.average_precision_score, support > 0),
    ):
        of_class = {i: score(targets[:, i], scores[:, i]) for i in np.flatnonzero(defined)}
        for i in range(scores.shape[1]):
            assert values[f"{key}/c{i}"] == pytest.approx(of_class.get(i, math.nan), abs=1e-6, nan_ok=True)
        if not of_class:
            assert math.isnan(values[f"{key}_macro"])
            continue
        assert values[f"{key}_macro"] == pytest.approx(np.mean(list(of_class.values())), abs=1e-6)
        weighted = np.average(list(of_class.values()), weights=support[list(of_class)])
        assert values[f"{key}_weighted"] == pytest.approx(weighted, abs=1e-6)
        micro = score(targets.ravel(), scores.ravel())
        assert values[f"{key}_micro"] == pytest.approx(micro, abs=1e-6)


class Together:
    """Processes that meet in one: what each brings to the same call is put together."""

    def __init__(self, brought: list) -> None:
        self.brought = iter(brought)

    def add_up(self, counts):
        return np.sum(next(self.brought), axis=0)

    def collect(self, rows):
        return np.concatenate(next(self.brought))


class Notes:
    """A process that notes what it would send."""

    def __init__(self) -> None:
        self.sent: list = []

    def add_up(self, counts):
        self.sent.append(counts)
        return counts

    def collect(self, rows):
        self.sent.append(rows)
        return rows


def reduced(tallies):
    """The tallies of several ranks, as each has them after it has talked to the others."""
    notes = [Notes() for _ in tallies]
    for tally, note in zip(tallies, notes, strict=True):
        tally.reduce(note)
    tallies[0].reduce(Together([list(brought) for brought in zip(*(note.sent for note in notes), strict=True)]))
    return tallies[0]


@given(st.data(), st.sampled_from(["multiclass", "multilabel"]), st.integers(1, 4), st.integers(1, 4))
def test_any_split_over_ranks_and_batches_in_any_order_gives_values_that_are_equal_to_the_bit(
    data, task, num_ranks, num_batches
):
    scores, targets = data.draw(multiclass_samples() if task == "multiclass" else multilabel_samples())
    losses = np.random.default_rng(0).exponential(3.0, len(scores)).astype(np.float32)
    settings = MULTICLASS if task == "multiclass" else MULTILABEL
    whole = tally_for(task, scores.shape[1], settings)
    whole.update(scores, targets)
    whole.update_loss(losses)
    order = np.array(data.draw(st.permutations(range(len(scores)))), dtype=np.int64)
    tallies = []
    for share in np.array_split(order, num_ranks):
        tallies.append(tally_for(task, scores.shape[1], settings))
        for batch in np.array_split(share, num_batches):
            tallies[-1].update(scores[batch], targets[batch])
            tallies[-1].update_loss(losses[batch])
            tallies[-1].values()  # looking changes nothing
    together = reduced(tallies)
    np.testing.assert_equal(together.values(), whole.values())
    assert together.mean_loss() == whole.mean_loss()
    for name, column in whole.table().columns.items():
        np.testing.assert_array_equal(together.table().columns[name], column)
    np.testing.assert_array_equal(together.table().confusion, whole.table().confusion)


@given(st.lists(st.floats(0, 1e9, width=32), min_size=1), st.randoms())
def test_a_mean_is_exact_to_the_unit_and_the_same_in_any_order(values, random):
    shuffled = random.sample(values, len(values))
    one, other = (exact_mean(exact_sum(np.array(some, np.float32)), len(some)) for some in (values, shuffled))
    assert one == other
    assert one == pytest.approx(math.fsum(values) / len(values), abs=2**-32, rel=1e-15)


def test_a_loss_that_is_not_finite_makes_the_mean_nan():
    for broken in (math.nan, math.inf):
        assert math.isnan(exact_mean(exact_sum(np.array([1.0, broken], np.float32)), 2))


def test_a_tie_goes_to_the_earlier_class_as_in_predict():
    tied = np.array([[0.5, 0.5, 0.0]], np.float32)
    assert counted("multiclass", tied, np.array([0]))["top1_acc_micro"] == 1.0
    assert counted("multiclass", tied, np.array([1]))["top1_acc_micro"] == 0.0


def test_a_score_equal_to_the_threshold_is_no_label_as_in_predict():
    scores = np.array([[0.5, 0.7]], np.float32)
    assert counted("multilabel", scores, np.array([[0.0, 1.0]]))["accuracy"] == 1.0
    seven = counted("multilabel", scores, np.array([[0.0, 1.0]]), {"threshold": 0.7})
    assert seven["accuracy"] == 0.5


def test_nothing_counted_gives_zeros_and_rankings_that_are_not_defined():
    assert set(tally_for("multiclass", 3).values().values()) == {0.0}
    values = tally_for("multilabel", 3).values()
    assert {name for name, value in values.items() if math.isnan(value)} == {"auroc_macro", "average_precision_macro"}
    assert math.isnan(tally_for("multiclass", 3).mean_loss())


@pytest.mark.parametrize("broken", [math.nan, math.inf, -math.inf])
def test_one_score_that_is_not_finite_leaves_no_metric_defined(broken):
    scores = np.array([[0.2, broken, 0.3], [0.9, 0.05, 0.05], [0.1, 0.8, 0.1]], np.float32)
    multiclass = counted("multiclass", scores, np.array([2, 0, 1]), MULTICLASS)
    multilabel = counted("multilabel", scores, np.eye(3)[[2, 0, 1]], MULTILABEL)
    assert all(map(math.isnan, [*multiclass.values(), *multilabel.values()]))


def test_a_sample_with_a_score_that_is_not_finite_is_in_the_support_alone_and_counted():
    scores = np.array([[math.nan] * 3, [0.9, 0.05, 0.05]], np.float32)
    tally = tally_for("multiclass", 3)
    tally.update(scores, np.array([0, 0]))
    table = tally.table()
    assert (tally.samples, tally.not_finite) == (2, 1)
    assert table.support.tolist() == [2, 0, 0]
    assert table.confusion.tolist() == [[0, 0, 1]]
    assert all(np.isnan(column).all() for column in table.columns.values())
    tally = tally_for("multilabel", 3)
    tally.update(scores, np.array([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0]]))
    assert tally.table().support.tolist() == [2, 1, 0]
    assert tally.counts["predicted"].tolist() == [1, 0, 0]
    assert all(np.isnan(column).all() for column in tally.table().columns.values())


def test_the_defaults_are_the_metrics_of_the_settings_page():
    small, large = tally_for("multiclass", 5).values(), tally_for("multiclass", 6).values()
    assert list(small) == ["top1_acc_micro", "f1_macro", "precision_macro", "recall_macro"]
    assert set(large) - set(small) == {"top5_acc_micro"}
    assert set(tally_for("multilabel", 3).values()) == {
        *("f1_macro", "f1_micro", "accuracy", "auroc_macro", "average_precision_macro", "hamming_distance"),
        *("precision_macro", "precision_micro", "recall_macro", "recall_micro"),
    }


def plan(task: str, **settings: object):
    return plan_metrics(structure(settings, MetricArgs, "metric_args"), task, ("cat", "dog", "car"))


def test_none_turns_a_metric_off_and_a_dict_turns_it_on():
    assert watchable(plan("multiclass", accuracy=None, recall=None, matthews_corrcoef={})) == [
        *("val_loss", "val_metric/f1_macro", "val_metric/precision_macro", "val_metric/matthews_corrcoef"),
    ]


def test_without_rankings_no_scores_are_kept():
    settings = {"auroc": None, "average_precision": None}
    tally = tally_for("multilabel", 3, settings)
    tally.update(np.zeros((5, 3), np.float32), np.zeros((5, 3), np.float32))
    assert not tally.rows


def test_thresholds_of_each_class_count_as_a_run_over_each_class_by_itself():
    rng = np.random.default_rng(0)
    scores, targets = rng.random((50, 3), dtype=np.float32), rng.random((50, 3)) < 0.4
    limits = (0.25, 0.5, 0.75)
    classes = Classes((0, 1, 2), ("cat", "dog", "car"))
    task = TaskSpec(
        task="multilabel",
        classes=classes,
        preprocessing=Preprocessing(image_size=(8, 8)),
        calibration=Calibration(thresholds=limits),
    )
    found = measure(task, scores, targets, MetricArgs(threshold="auto")).table.columns["f1"]
    for k, limit in enumerate(limits):
        assert found[k] == pytest.approx(sk.f1_score(targets[:, k], scores[:, k] > limit))


def test_auto_as_threshold_is_refused_where_there_are_none():
    with pytest.raises(TrainConfigError, match="there are no thresholds"):
        plan("multilabel", threshold="auto")
    with pytest.raises(TrainConfigError, match="only multilabel tasks have threshold"):
        plan("multiclass", threshold="auto")


def test_class_wise_names_end_in_the_class_name():
    names = watchable(plan("multiclass", classwise=True))
    assert {"val_metric/f1/cat", "val_metric/precision/dog", "val_metric/recall/car"} <= set(names)
    names = watchable(plan("multilabel", classwise=True))
    assert {"val_metric/f1/cat", "val_metric/auroc/dog", "val_metric/average_precision/car"} <= set(names)


def test_each_task_watches_its_own_metric_and_any_that_is_computed_can_be_asked_for():
    assert watched_metric("auto", plan("multiclass")) == "val_metric/top1_acc_micro"
    assert watched_metric("auto", plan("multilabel")) == "val_metric/f1_macro"
    assert watched_metric("val_metric/recall/dog", plan("multiclass", classwise=True)) == "val_metric/recall/dog"
    with pytest.raises(TrainConfigError, match=r"f2.*val_loss, val_metric/top1_acc_micro, val_metric/f1_macro"):
        watched_metric("val_metric/f2", plan("multiclass"))
    with pytest.raises(TrainConfigError, match="top1_acc_micro', which is turned off; there are val_loss"):
        watched_metric("auto", plan("multiclass", accuracy=None))


@pytest.mark.parametrize(
    ("asked", "hint"),
    [
        ("val_metric/recall/dog", "'val_metric/recall/dog' is computed only .* set metric_args.classwise to true"),
        ("val_metric/recall/dgo", "did you mean 'val_metric/recall/dog'. That needs metric_args.classwise to be true"),
        ("f1_macro", r"did you mean 'val_metric/f1_macro'\?\)"),
        ("val_metric/f1_marco", r"did you mean 'val_metric/f1_macro'\?\)"),
        ("val_metric/top1", r"did you mean 'val_metric/top1_acc_micro'\?\)"),
    ],
)
def test_a_watched_metric_that_is_not_computed_is_refused_with_what_was_meant(asked, hint):
    with pytest.raises(TrainConfigError, match=hint):
        watched_metric(asked, plan("multiclass"))


def test_errors_and_distances_are_watched_downwards():
    names = {*watchable(plan("multiclass", **MULTICLASS)), *watchable(plan("multilabel"))}
    assert names & LESS_IS_BETTER == LESS_IS_BETTER


@pytest.mark.parametrize(
    ("task", "settings", "named"),
    [
        ("multiclass", {"auroc": {}, "hamming_distance": {}}, "only multilabel tasks have auroc, hamming_distance"),
        ("multiclass", {"threshold": 0.4}, "only multilabel tasks have threshold"),
        ("multilabel", {"matthews_corrcoef": {}}, "only multiclass tasks have matthews_corrcoef"),
    ],
)
def test_metrics_of_the_other_task_are_refused_by_name(task, settings, named):
    with pytest.raises(TrainConfigError, match=named):
        plan(task, **settings)


@pytest.mark.parametrize(
    ("settings", "where"),
    [
        ({"f1": {"averages": ["macro"]}}, "metric_args.f1.averages"),
        ({"f1": {"average": ["mean"]}}, "metric_args.f1.average"),
        ({"f1": {"average": []}}, "metric_args.f1.average"),
        ({"accuracy": {"topk": [0]}}, "metric_args.accuracy.topk"),
        ({"threshold": 1.0}, "metric_args.threshold"),
        ({"precison": None}, "metric_args.precison"),
        ({"expected_calibration_error": {"num_bins": 0}}, "metric_args.expected_calibration_error.num_bins"),
    ],
)
def test_wrong_settings_are_named_by_their_full_path(settings, where):
    with pytest.raises(ConfigError) as caught:
        structure(settings, MetricArgs, "metric_args")
    assert [problem.where.partition("[")[0] for problem in caught.value.problems] == [where]
