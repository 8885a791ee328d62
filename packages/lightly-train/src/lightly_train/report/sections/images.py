"""Images to look at: mistakes, doubtful labels, augmented samples."""

from __future__ import annotations

import numpy as np

from lightly_train.report.data import ReportData
from lightly_train.report.figures import most_wrong
from lightly_train.report.label_errors import LabelError, likely_label_errors
from lightly_train.report.markup import Child, Html, joined, shown_name, tag
from lightly_train.report.numbers import count, percent
from lightly_train.report.pictures import picture, thumbnail
from lightly_train.report.sections.parts import Section, label_list, note

MOST_IMAGES = 24
"""In a gallery."""


def wrong_images(data: ReportData) -> Section:
    """The worst mistakes."""
    indices, total = most_wrong(data.scored, data.threshold, MOST_IMAGES)
    lead = (
        "The model was most sure of something else here: look for hard images, wrong labels, and classes that "
        "are hard to tell apart."
    )
    if not total:
        return Section("wrong", "Most wrong images", lead, note("Not one validation image is wrong."))
    cards = [_wrong_card(data, i) for i in indices.tolist()]
    images = len(data.scored.samples)
    text = note(
        f"{count(total)} of {count(images)} ({percent(total / images)}) are wrong; {_how_many(cards, total, 'worst')}."
    )
    return Section("wrong", "Most wrong images", lead, joined([text, tag("ul", *cards, class_="gallery")]))


def label_errors(data: ReportData) -> Section:
    """Labels to look at again."""
    found, total = likely_label_errors(data.scored, MOST_IMAGES)
    lead = (
        "Candidates to look at, not verdicts: the image fits its label less than images with that label "
        "usually do, and fits another one better, as well as images with that one do (confident learning)."
    )
    if not total:
        return Section("labels", "Likely label errors", lead, note("No label stands out."))
    cards = [_label_card(data, error) for error in found]
    text = note(f"{count(total)} candidates; {_how_many(cards, total, 'most certain')}.")
    return Section("labels", "Likely label errors", lead, joined([text, tag("ul", *cards, class_="gallery")]))


def augmentations(data: ReportData) -> Section:
    """What training sees."""
    lead = (
        "The first picture of a row is what validation sees; the others are what training sees of the same "
        "image in epochs 0, 1, … If you cannot tell the class any more, the augmentation is too strong."
    )
    if not data.augmented:
        return Section("augmentations", "Sample augmentations", lead, note("No training image could be read."))
    rows = []
    for sample in data.augmented:
        views = [
            tag(
                "li",
                picture(view, f"{'validation' if k == 0 else f'epoch {k - 1}'} view of {sample.caption}"),
                tag("span", "validation" if k == 0 else f"epoch {k - 1}"),
            )
            for k, view in enumerate(sample.views)
        ]
        rows.append(
            tag(
                "figure",
                tag("figcaption", shown_name(sample.caption, 120)),
                tag("ul", *views, class_="views"),
                class_="card",
            )
        )
    return Section("augmentations", "Sample augmentations", lead, joined(rows))


def _wrong_card(data: ReportData, index: int) -> Html:
    """A mistake: what the image is, and what the model says."""
    scored = data.scored
    given = scored.samples.labels_of(index)
    if scored.task.task == "multiclass":
        said = int(scored.scores[index].argmax())
        lines = [
            _line("label", label_list(data, given), scored.scores[index, given[0]]),
            _line("predicted", label_list(data, [said]), scored.scores[index, said]),
        ]
        return _card(data, index, lines)
    predicted = np.flatnonzero(scored.scores[index] > data.threshold)
    missed, added = np.setdiff1d(given, predicted), np.setdiff1d(predicted, given)
    lines = [_line("labels", label_list(data, given))]
    for what, wrong in (("missed", missed), ("wrongly added", added)):
        if len(wrong):
            worst = wrong[np.argsort(scored.scores[index, wrong] * (1 if what == "missed" else -1), kind="stable")]
            lines.append(_line(what, label_list(data, worst), scored.scores[index, worst[0]]))
    return _card(data, index, lines)


def _label_card(data: ReportData, error: LabelError) -> Html:
    """A doubtful label, and what fits better."""
    scores = data.scored.scores[error.sample]
    lines = []
    if error.given is not None:
        lines.append(_line("label", label_list(data, [error.given]), scores[error.given]))
    else:
        lines.append(_line("labels", label_list(data, data.scored.samples.labels_of(error.sample))))
    if error.suggested is not None:
        what = "fits better" if error.given is not None else "may be missing"
        lines.append(_line(what, label_list(data, [error.suggested]), scores[error.suggested]))
    else:
        lines.append(_line("fits better", tag("b", "without it")))
    return _card(data, error.sample, lines)


def _line(what: str, names: Html, score: float | None = None) -> Html:
    number = None if score is None else tag("span", percent(float(score)), class_="score")
    return tag("p", tag("span", what, class_="what"), " ", names, " ", number)


def _card(data: ReportData, index: int, lines: list[Html]) -> Html:
    samples = data.scored.samples
    path = samples.path(index)
    shown = path.relative_to(samples.root) if path.is_relative_to(samples.root) else path
    frame = "" if samples.frames is None or samples.frames[index] < 0 else f", frame {samples.frames[index]}"
    image = thumbnail(samples, index, data.scored.task, f"validation image {shown}{frame}")
    where: list[Child] = [shown_name(str(shown), 60), frame]
    return tag("li", image, tag("div", *lines, tag("p", *where, class_="path")), class_="card")


def _how_many(cards: list[Html], total: int, which: str) -> str:
    return "all are shown" if len(cards) == total else f"the {len(cards)} {which} are shown"
