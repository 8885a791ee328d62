from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sklearn.metrics import precision_recall_fscore_support

import lightly_train
from lightly_train.report import gather, write
from lightly_train.report.figures import (
    THRESHOLDS,
    class_table,
    confusion_counts,
    most_confused,
    most_wrong,
    reliability,
    threshold_curves,
    worst_classes,
)
from lightly_train.report.label_errors import doubted, likely_label_errors
from lightly_train.report.markup import escaped, shown_name, tag
from lightly_train.report.numbers import percent, short_count, ticks
from lightly_train.report.page import page

TITLES = [
    "Headline numbers",
    "Curves",
    "Confusion matrix",
    "Per class",
    "Calibration",
    "Most wrong images",
    "Likely label errors",
    "Class balance",
    "Sample augmentations",
    "Resolved arguments",
    "Environment",
]


class Reader(HTMLParser):
    """Tags, attributes and text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, name, attributes):
        self.tags.append((name, dict(attributes)))
        if name not in ("meta", "img", "br", "link", "wbr"):
            self.open.append(name)

    def handle_endtag(self, name):
        assert self.open.pop() == name

    def handle_data(self, data):
        self.text.append(data)

    def all(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for tag_name, attributes in self.tags if tag_name == name]


def headings(text: str) -> list[str]:
    return re.findall(r"<h2[^>]*>(.*?)</h2>", text)


# Markup


@given(st.text())
@example("<script>alert(1)</script>")
@example("a\u202eb & 'c' \"d\"")
@example("\udcff\x00\x9f")
def test_no_text_becomes_markup_and_all_of_it_can_be_written(text):
    built = tag("p", tag("bdi", text, title=text), text)
    built.encode()
    read = Reader(built)
    assert [name for name, _ in read.tags] == ["p", "bdi"]
    assert read.open == []
    assert "".join(read.text) == read.all("bdi")[0]["title"] + "".join(read.text)[len("".join(read.text)) // 2 :]
    printable = "".join(character for character in text if character.isprintable() or character == " ")
    assert all(character in "".join(read.text) for character in printable)


def test_a_long_name_is_shortened_in_its_middle_and_whole_in_its_title():
    name = "start" + "x" * 100 + "end"
    read = Reader(shown_name(name, 20))
    (shown,) = read.text
    assert len(shown) == 20
    assert shown.startswith("start")
    assert shown.endswith("end")
    assert read.all("bdi")[0]["title"] == name


def test_markup_made_by_formatting_is_escaped_again():
    assert tag("p", f"{tag('b', 'x')}") == "<p>&lt;b&gt;x&lt;/b&gt;</p>"


@given(st.floats(-1e6, 1e6), st.floats(0, 1e6))
def test_ticks_enclose_the_values_and_are_few(low, size):
    high = low + size
    found = ticks(low, high)
    slack = 1e-6 * (abs(low) + abs(high)) + 1e-150
    assert found[0] <= low + slack
    assert found[-1] >= high - slack
    assert 2 <= len(found) <= 8


@pytest.mark.parametrize(("value", "text"), [(0, "0"), (9999, "9999"), (12_345, "12.3k"), (1_500_000, "1.5M")])
def test_counts_are_short(value, text):
    assert short_count(value) == text


# Label errors


def test_a_label_is_doubted_where_its_own_threshold_is_missed_and_another_is_reached():
    scores = np.array([[0.9, 0.1], [0.7, 0.3], [0.2, 0.8], [0.1, 0.9], [0.3, 0.7]], dtype=np.float32)
    labels = np.array([0, 0, 0, 1, 1])
    # Thresholds: class 0 the mean of 0.9, 0.7, 0.2, which is 0.6; class 1 that of 0.9, 0.7, which is 0.8.
    samples, suggested = doubted(scores, labels)
    assert samples.tolist() == [2]
    assert suggested.tolist() == [1]


def test_a_label_below_its_threshold_stays_where_no_other_is_reached():
    scores = np.array([[0.9, 0.05, 0.05], [0.4, 0.3, 0.3], [0.1, 0.8, 0.1]], dtype=np.float32)
    assert doubted(scores, np.array([0, 0, 1]))[0].tolist() == []


def test_a_label_that_scores_higher_than_all_that_reach_their_thresholds_is_not_doubted():
    # Thresholds: class 0 the mean of 0.9 and 0.7, which is 0.8; class 1, rare and unknown to the model, its one 0.2.
    scores = np.array([[0.9, 0.1], [0.7, 0.3], [0.8, 0.2]], dtype=np.float32)
    assert doubted(scores, np.array([0, 0, 1]))[0].tolist() == []
    scores[1] = 0.5
    assert doubted(scores, np.array([0, 0, 1]))[0].tolist() == []
    scores[1] = [0.4, 0.6]
    assert doubted(scores, np.array([0, 0, 1]))[0].tolist() == [1]


def brute_force(scores, labels):
    """The definition, one sample and class at a time."""
    classes = range(scores.shape[1])
    own = {c: [float(s[c]) for s, label in zip(scores, labels, strict=True) if label == c] for c in classes}
    threshold = {c: sum(values) / len(values) for c, values in own.items() if values}
    found = []
    for i, (row, label) in enumerate(zip(scores, labels, strict=True)):
        reached = [c for c in threshold if float(row[c]) >= threshold[c]]
        best = max(reached, key=lambda c: (row[c], -c), default=None)
        if best is not None and float(row[label]) < threshold[label] and row[label] < row[best]:
            found.append((i, best))
    return found


@given(st.integers(2, 5), st.integers(1, 30), st.integers(0, 2**32 - 1))
def test_doubted_labels_are_those_of_the_definition(classes, size, seed):
    rng = np.random.default_rng(seed)
    scores = rng.dirichlet(np.full(classes, 0.3), size).astype(np.float32)
    labels = rng.integers(0, classes, size)
    samples, suggested = doubted(scores, labels)
    assert list(zip(samples.tolist(), suggested.tolist(), strict=True)) == brute_force(scores, labels)


def test_swapped_labels_are_found_first(score):
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 4, 400)
    scored = score(["a", "b", "c", "d"], 400, labels=truth, skill=9.0)
    wrong = rng.choice(400, 12, replace=False)
    scored.samples.labels[wrong] = (truth[wrong] + 1) % 4
    found, total = likely_label_errors(scored, 12)
    assert {error.sample for error in found} == set(wrong.tolist())
    assert all(error.suggested == truth[error.sample] for error in found)
    assert [error.margin for error in found] == sorted((error.margin for error in found), reverse=True)
    assert 12 <= total < 40


def test_a_missing_and_a_needless_label_of_multilabel_images_are_found(score):
    present = np.random.default_rng(2).random((200, 3)) < 0.4
    scored = score(["a", "b", "c"], 200, task="multilabel", labels=present, skill=12.0)
    changed = present.copy()
    changed[7, 1], changed[9, 2] = ~present[7, 1], ~present[9, 2]
    told = score(["a", "b", "c"], 200, task="multilabel", labels=changed)
    found, _ = likely_label_errors(type(scored)(task=scored.task, samples=told.samples, scores=scored.scores), 2)
    for error in found:
        flipped = {7: 1, 9: 2}[error.sample]
        missing = present[error.sample, flipped]
        assert (error.given, error.suggested) == ((None, flipped) if missing else (flipped, None))


def test_a_class_without_images_is_never_suggested(score):
    scored = score(["a", "b", "never"], 50, labels=np.arange(50) % 2, skill=1.0)
    assert {error.suggested for error in likely_label_errors(scored, 50)[0]} <= {0, 1}


# Figures


@pytest.mark.parametrize("index", [0, 30, 50, 100])
def test_threshold_curves_are_what_scikit_learn_counts_at_each_threshold(score, index):
    scored = score(["a", "b", "c"], 120, task="multilabel", skill=1.5)
    scored.scores[:] = scored.scores.round(2)  # some equal a threshold, and do not count there
    micro, by_class = threshold_curves(scored)
    predicted = scored.scores > THRESHOLDS[index]
    everything = precision_recall_fscore_support(scored.truth, predicted, average="micro", zero_division=0)
    assert (np.nan_to_num(micro.precision[index]), micro.recall[index], micro.f1[index]) == pytest.approx(
        everything[:3]
    )
    each = precision_recall_fscore_support(scored.truth, predicted, average=None, zero_division=0)
    for k, curve in enumerate(by_class):
        assert (np.nan_to_num(curve.precision[index]), curve.recall[index], curve.f1[index]) == pytest.approx(
            [figures[k] for figures in each[:3]]
        )
        assert np.isnan(curve.precision[index]) == (predicted[:, k].sum() == 0)
        assert curve.f1[curve.best] == curve.f1.max()


def test_the_calibration_curve_has_every_decision_in_the_bin_of_its_confidence(score):
    scored = score(["a", "b"], 4, labels=[0, 0, 1, 1])
    scored.scores[:] = [[0.9, 0.1], [0.15, 0.85], [0.45, 0.55], [0.05, 0.95]]
    found = reliability(scored, num_bins=10)
    assert found.samples.tolist() == [0, 0, 0, 0, 0, 1, 0, 0, 2, 1]
    assert found.accuracy[[5, 8, 9]].tolist() == [1.0, 0.5, 1.0]
    assert found.confidence[8] == pytest.approx(0.875)
    assert found.error == pytest.approx((0.45 + 2 * 0.375 + 0.05) / 4)


def test_multilabel_calibration_is_of_every_image_and_class(score):
    found = reliability(score(["a", "b", "c"], 50, task="multilabel"))
    assert found.samples.sum() == 150


def test_the_most_confused_pair_comes_first_with_its_share(score):
    scored = score(["a", "b", "c"], 6, labels=[0, 0, 0, 1, 2, 2], skill=10.0)
    scored.scores[[0, 1]], scored.scores[4] = [0.1, 0.8, 0.1], [0.8, 0.1, 0.1]
    first, second = most_confused(scored, class_table(scored, 0.5), 0.5, 10)
    assert (first.true, first.predicted, first.count, first.share) == (0, 1, 2, 2 / 3)
    assert (second.true, second.predicted, second.count, second.share) == (2, 0, 1, 1 / 2)


def test_multilabel_pairs_are_a_missed_and_a_wrongly_added_class(score):
    scored = score(["a", "b", "c"], 3, task="multilabel", labels=[[1, 0, 0], [1, 0, 0], [0, 1, 1]])
    scored.scores[:] = [[0.1, 0.9, 0.1], [0.1, 0.9, 0.1], [0.1, 0.9, 0.1]]
    (pair,) = most_confused(scored, class_table(scored, 0.5), 0.5, 10)
    assert (pair.true, pair.predicted, pair.count) == (0, 1, 2)


def test_a_part_of_the_confusions_has_all_images_of_its_classes(score):
    scored = score([f"c{i}" for i in range(12)], 600, skill=1.0)
    table = class_table(scored, 0.5)
    worst = worst_classes(table, 5)
    counts = confusion_counts(table, worst)
    assert counts.sum(axis=1).tolist() == table.support[worst].tolist()
    assert np.diag(counts).tolist() == [
        int(((scored.truth == i) & (scored.scores.argmax(axis=1) == i)).sum()) for i in worst
    ]
    rest = np.delete(table.columns["f1"], worst)
    assert table.columns["f1"][worst].max() <= rest.min()


def test_the_most_wrong_image_is_the_one_whose_label_scores_least(score):
    scored = score(["a", "b"], 4, labels=[0, 0, 1, 1])
    scored.scores[:] = [[0.9, 0.1], [0.4, 0.6], [0.95, 0.05], [0.2, 0.8]]
    indices, total = most_wrong(scored, 0.5, 1)
    assert (indices.tolist(), total) == ([2], 2)


def test_the_most_wrong_multilabel_image_has_the_worst_decision(score):
    scored = score(["a", "b"], 3, task="multilabel", labels=[[1, 0], [0, 1], [1, 1]])
    scored.scores[:] = [[0.4, 0.1], [0.3, 0.7], [0.9, 0.05]]
    assert most_wrong(scored, 0.5, 5)[0].tolist() == [2, 0]


# The page


def test_the_page_has_every_section_once_and_can_be_read(score, report_of):
    text = page(report_of(score(["cat", "dog", "猫"], 60)))
    assert headings(text) == TITLES
    read = Reader(text)
    assert read.open == []
    ids = [attributes["id"] for _, attributes in read.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert all(image["alt"] and image["src"].startswith("data:image/webp;") for image in read.all("img"))
    drawings = [svg for svg in read.all("svg") if svg.get("role") == "img"]
    assert len(drawings) >= 4
    for svg in drawings:
        assert set(svg["aria-labelledby"].split()) <= set(ids)
    assert "猫" in text


def test_thresholds_are_for_multilabel_only(score, report_of):
    text = page(report_of(score(["cat", "dog"], 60, task="multilabel")))
    assert headings(text) == [*TITLES[:2], "Confusions", *TITLES[3:5], "Thresholds", *TITLES[5:]]


def test_names_and_paths_cannot_add_scripts_styles_or_images(score, report_of):
    hostile = "<script>alert(1)</script><img src=x onerror=alert(1)>"
    plain, attacked = (
        Reader(
            page(
                report_of(
                    score([name, "b"], 40, skill=0.0),
                    title=name,
                    notes=(name,),
                    facts=((name, name),),
                    arguments=((name, name, name),),
                    environment=((name, name),),
                )
            )
        )
        for name in ("a", hostile)
    )
    assert [name for name, _ in attacked.tags] == [name for name, _ in plain.tags]
    assert not any(key.startswith("on") or key == "style" for _, attributes in attacked.tags for key in attributes)


@pytest.mark.parametrize(
    ("names", "size", "task"),
    [
        (["a"], 3, "multiclass"),
        (["a", "b"], 2, "multiclass"),
        (["a"], 5, "multilabel"),
        ([f"class {i}" for i in range(31)], 40, "multiclass"),
    ],
)
def test_few_classes_and_few_images_make_a_page(score, report_of, names, size, task):
    assert len(headings(page(report_of(score(names, size, task=task))))) >= len(TITLES)


def test_a_class_without_validation_images_is_named(score, report_of):
    text = page(report_of(score(["a", "b", "never"], 40, labels=np.arange(40) % 2)))
    assert "Without a validation image, and so without figures: <bdi>never</bdi>." in text


def test_multilabel_images_without_any_label_make_a_page(score, report_of):
    scored = score(["a", "b"], 20, task="multilabel", labels=np.zeros((20, 2)))
    assert "Thresholds" in headings(page(report_of(scored)))


def test_a_model_that_is_always_right_has_nothing_to_show(score, report_of):
    text = page(report_of(score(["a", "b"], 30, skill=30.0)))
    assert "Not one validation image is wrong." in text
    assert "No class was confused." in text


def test_a_run_without_kept_values_says_so(score, report_of):
    assert "metrics.jsonl is not there" in page(report_of(score(["a", "b"], 30), curves={}))


def test_an_image_that_is_gone_is_told_in_its_place(score, report_of, tmp_path):
    scored = score(["a", "b"], 30, skill=0.0)
    for file in (tmp_path / "images").iterdir():
        file.unlink()
    assert "cannot be read" in page(report_of(scored))


@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
def test_a_page_of_a_thousand_classes_stays_below_three_megabytes(score, report_of, task):
    names = [f"{i} " + "long name of a class " * 20 for i in range(1000)]
    text = page(report_of(score(names, 3000, task=task, skill=3.0)))
    assert len(text.encode()) < 3e6


def test_only_the_thirty_worst_of_many_classes_are_in_the_matrix(score, report_of):
    text = page(report_of(score([f"class {i}" for i in range(200)], 2000, skill=2.0)))
    matrix = Reader(text[text.index('<table class="matrix">') : text.index("</table>", text.index('class="matrix"'))])
    assert len([cell for cell in matrix.all("th") if cell.get("scope") == "row"]) == 30
    assert len([cell for cell in matrix.all("th") if cell.get("scope") == "col"]) == 31


# Runs


def test_a_run_writes_its_report_and_says_where(trained, data):
    assert trained.report == trained.out / "report.html"
    text = trained.report.read_text(encoding="utf-8")
    assert headings(text) == TITLES
    read = Reader(text)
    shown = "".join(read.text)
    accuracy = f"{100 * trained.best_metrics['val_metric/top1_acc_micro']:.1f}\u00a0%"
    assert text.index(f"<dt>Top-1 accuracy</dt><dd>{accuracy}</dd>") < text.index("Curves</h2>")
    assert "timm/test_resnet-notpretrained" in shown
    assert "a hundredth of the run" in shown
    assert "report: " in (trained.out / "train.log").read_text(encoding="utf-8")


def test_the_scores_of_a_report_are_those_of_predict(trained, data):
    from lt_data import build_index, load_data_config

    model = lightly_train.load_model(trained.exported_best, device="cpu")
    index = build_index(load_data_config(data), "multiclass")
    scored = gather.score_samples(model, index.val, batch_size=5, num_workers=0)
    files = [index.val.path(i) for i in range(len(index.val))]
    np.testing.assert_allclose(scored.scores, model.scores(files), atol=1e-6)
    right = (scored.scores.argmax(axis=1) == scored.truth).mean()
    assert right == trained.best_metrics["val_metric/top1_acc_micro"]


def test_an_image_that_cannot_be_read_is_left_out_and_the_others_keep_their_labels(trained, data, tmp_path):
    from lt_data import SampleIndex

    good = [path for name in data["classes"].values() for path in sorted((data["val"] / name).iterdir())]
    labels = np.repeat(np.arange(3), 4)
    (tmp_path / "broken.png").write_bytes(b"broken")
    files = [*good[:6], tmp_path / "broken.png", *good[6:]] + good * 8
    numbers = np.concatenate([labels[:6], [0], labels[6:], np.tile(labels, 8)])
    samples = SampleIndex.from_paths(tmp_path, list(map(str, files)), numbers, num_classes=3)
    model = lightly_train.load_model(trained.exported_best, device="cpu")
    scored = gather.score_samples(model, samples, batch_size=4, num_workers=0, on_bad_image="skip")
    assert scored.truth.tolist() == [*labels.tolist() * 9]
    assert scored.scores.shape == (108, 3)
    with pytest.raises(lightly_train.errors.ImageDecodeError, match=r"broken\.png"):
        gather.score_samples(model, samples, batch_size=4, num_workers=0, on_bad_image="error")


def test_an_unreadable_validation_image_is_logged_once_and_named_on_the_page(train_on, data, tmp_path):
    for name in data["classes"].values():
        (tmp_path / "val" / name).mkdir(parents=True)
        for i in range(34):
            shutil.copy(data["val"] / name / f"{i % 4}.png", tmp_path / "val" / name / f"{i}.png")
    broken = tmp_path / "val" / "red" / "7.png"
    broken.write_bytes(b"no image")
    settings = {**data, "val": tmp_path / "val", "on_bad_image": "skip"}
    result = train_on(tmp_path / "run", settings, steps=2)
    lines = (tmp_path / "run" / "train.log").read_text(encoding="utf-8").splitlines()
    assert len([line for line in lines if str(broken) in line]) == 1
    assert f"left out, 1 of them: {broken}" in result.report.read_text(encoding="utf-8")


def test_of_too_many_validation_images_an_even_sample_is_scored_and_the_page_says_so(run, tmp_path, monkeypatch):
    monkeypatch.setattr(gather, "MOST_SCORED", 6)
    text = run(tmp_path / "run").report.read_text(encoding="utf-8")
    assert "an even sample of 6 of the 12 validation images" in text
    images = re.findall(r'<span class="what">label</span>', text)
    assert len(images) <= 12


def test_a_report_that_fails_leaves_the_run_as_it_is_and_tells_why(run, tmp_path, monkeypatch):
    def broken(data):
        raise ValueError("no such luck")

    monkeypatch.setattr(write, "page", broken)
    result = run(tmp_path / "run")
    assert result.report is None
    assert result.exported_best.is_file()
    log = (tmp_path / "run/train.log").read_text(encoding="utf-8")
    assert "no report: ValueError: no such luck; the run itself is complete" in log
    assert not (tmp_path / "run/report.html").exists()


def test_a_resumed_run_writes_its_report_anew(run, tmp_path):
    first = run(tmp_path / "run")
    first.report.unlink()
    assert run(tmp_path / "run", resume_interrupted=True).report.is_file()


def test_a_run_without_a_best_model_reports_on_the_last_one(run, tmp_path):
    text = run(tmp_path / "run", save_checkpoint_args={"save_best": False}).report.read_text(encoding="utf-8")
    assert "This report is of the last model: no best one was saved." in text
    assert "exported_last.pt" in text


def test_what_auto_became_is_in_the_report(run, tmp_path):
    result = run(tmp_path / "run")
    settings = json.loads((result.out / "settings.json").read_text(encoding="utf-8"))
    text = result.report.read_text(encoding="utf-8").replace("<wbr>", "")
    for name in ("model_args.lr_warmup_steps", "logger_args.val_every_num_steps", "model_args.pooling"):
        assert f"<code>{name}</code></th>" in text
        assert escaped(settings["reasons"][name]) in text
    assert f"{settings['resolved']['resolved.lr']:.3g} at its peak, scaled to the batch" in text
    assert "resolved.lr" not in text
    shown = text.replace("<bdi>", "").replace("</bdi>", "")
    for value in ("32-true", "cross_entropy", "[32, 32]", "val_metric/top1_acc_micro"):
        assert f"<code>{escaped(value)}</code>" in shown


def test_a_watched_metric_of_one_class_is_in_the_headline_and_the_curves(run, tmp_path):
    watched = "val_metric/recall/red"
    result = run(tmp_path / "run", metric_args={"watch_metric": watched, "classwise": True, "train": True})
    text = result.report.read_text(encoding="utf-8").replace("<bdi>", "").replace("</bdi>", "")
    value = percent(result.best_metrics[watched])
    assert f'<dt>Recall of red</dt><dd>{value}</dd><dd class="badge">decided</dd>' in text
    assert "Recall of red, validation" in text
    assert "Recall of red, training" in text
    assert "Recall of green" not in text


def test_what_every_setting_became_is_there_as_json_has_it(run, tmp_path):
    out = run(tmp_path / "run").out
    found = json.loads((out / "settings.json").read_text(encoding="utf-8"))["resolved"]
    expected = {
        "early_stopping_args": None,
        "metric_args.classwise": False,
        "metric_args.watch_metric": "val_metric/top1_acc_micro",
        "metric_args.accuracy.topk": [1],
        "metric_args.f1.average": ["macro"],
        "metric_args.balanced_accuracy": None,
        "metric_args.auroc": None,
        "float32_matmul_precision": "highest",
        "model_args.asymmetric_gammas": [0.0, 4.0],
        "model_args.loss": "cross_entropy",
        "model_args.head": "linear",
        "transform_args.image_size": [32, 32],
        "transform_args.num_channels": 3,
        "transform_args.normalize.mean": [0.5, 0.5, 0.5],
        "loader_args.pin_memory": False,
        "devices": 1,
        "accelerator": "cpu",
    }
    assert {name: found[name] for name in expected} == expected
    assert "None" not in found.values()
    assert [name for name, value in found.items() if value == "auto"] == ["model_args.pooling"]


@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
def test_class_counts_of_a_split_are_those_of_its_labels(score, task):
    samples = score(["a", "b", "c"], 40, task=task).samples
    expected = [sum(k in samples.labels_of(i) for i in range(40)) for k in range(3)]
    assert gather.images_by_class(samples).tolist() == expected
