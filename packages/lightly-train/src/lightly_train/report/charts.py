"""Charts as inline SVG: readable on a phone, in both colour schemes, with a description for who cannot see them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs
import numpy as np

from lightly_train.report.data import Series
from lightly_train.report.figures import Floats, Reliability
from lightly_train.report.markup import Html, joined, tag
from lightly_train.report.numbers import count, percent, plain, ticks

WIDTH, HEIGHT = 360, 230
LEFT, RIGHT, TOP, BOTTOM = 50, 12, 12, 36
"""Of the plotting area in units of the drawing; a unit is a pixel on a phone."""

FIFTHS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)

MOST_POINTS = 400
"""Of a line; more could not be seen."""
MOST_LINES = 4
"""As many as there are colours and dashes."""
MOST_ROWS = 12
"""Of the table beside a chart."""


@attrs.frozen
class Area:
    """From values to the drawing."""

    low_x: float
    high_x: float
    low_y: float
    high_y: float

    def x(self, value: float) -> float:
        """Units from the left."""
        share = (value - self.low_x) / (self.high_x - self.low_x)
        return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)

    def y(self, value: float) -> float:
        """Units from the top."""
        share = (value - self.low_y) / (self.high_y - self.low_y)
        return round(HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - TOP), 1)


def line_chart(
    name: str,
    series: Sequence[Series],
    *,
    title: str,
    x_label: str,
    y_format: Callable[[float], str] = plain,
    x_format: Callable[[float], str] = plain,
    x_range: tuple[float, float] | None = None,
    y_range: tuple[float, float] | None = None,
    mark: tuple[float, str] | None = None,
) -> Html:
    """A figure with a line for each series, a legend and a table of some of its values.

    Args:
        name: Unique on the page.
        series: At most `MOST_LINES`; some value is finite.
        title: Shown above.
        x_label: What x is, with its unit.
        y_format: How values are written.
        x_format: Likewise.
        x_range: Ends of the x axis; None for those of the data.
        y_range: Likewise.
        mark: An x that is marked by an upright line, and what it is.
    """
    lines = [thinned(one) for one in series]
    values = np.concatenate([one.y[np.isfinite(one.y)] for one in lines])
    xs = np.concatenate([one.x for one in lines])
    y_ticks = ticks(*(y_range or (float(values.min()), float(values.max()))))
    low_x, high_x = x_range or (float(xs.min()), float(xs.max()))
    if high_x <= low_x:
        low_x, high_x = low_x - 0.5, high_x + 0.5
    area = Area(low_x, high_x, y_ticks[0], y_ticks[-1])
    drawn = [axes(area, y_ticks, x_ticks(low_x, high_x), x_label, x_format, y_format)]
    if mark is not None:
        at = area.x(mark[0])
        drawn.append(tag("line", class_="mark", x1=at, x2=at, y1=TOP, y2=HEIGHT - BOTTOM))
    for i, one in enumerate(lines):
        drawn.append(polyline(area, one, f"line s{i}"))
    described = "; ".join(described_line(one, y_format, x_format, x_label) for one in lines)
    legend = [legend_entry(f"s{i}", one.name) for i, one in enumerate(lines)]
    if mark is not None:
        legend.append(legend_entry("mark", mark[1]))
    table = values_table(lines, x_label, x_format, y_format)
    return figure(name, title, f"Line chart over {x_label}. {described}.", joined(drawn), joined(legend), table)


def thinned(series: Series) -> Series:
    """Every n-th point and the last, so that at most `MOST_POINTS` are left."""
    if len(series.x) <= MOST_POINTS:
        return series
    kept = np.unique(np.linspace(0, len(series.x) - 1, MOST_POINTS).round().astype(np.int64))
    return Series(series.name, series.x[kept], series.y[kept])


def reliability_chart(name: str, found: Reliability, *, x_label: str, y_label: str) -> Html:
    """Bars of how often decisions of each confidence are right, with the line on which they should end."""
    area = Area(0.0, 1.0, 0.0, 1.0)
    used = np.flatnonzero(found.samples).tolist()
    texts = [f"{bin_name(found, i)}: {percent(float(found.accuracy[i]))} {y_label}" for i in used]
    drawn = [
        axes(area, FIFTHS, FIFTHS, x_label, whole_percent, whole_percent),
        bars(area, found, found.accuracy, texts),
    ]
    for i in used:
        center = {"cx": area.x(float(found.confidence[i])), "cy": area.y(float(found.accuracy[i]))}
        drawn.append(tag("circle", class_="dot", r=3, **center))
    ends = {"x1": area.x(0), "y1": area.y(0), "x2": area.x(1), "y2": area.y(1)}
    drawn.append(tag("line", class_="ideal", **ends))
    legend = joined([legend_entry("s0 wide", y_label), legend_entry("ideal", "as it should be")])
    rows = [(bin_name(found, i), percent(float(found.confidence[i])), percent(float(found.accuracy[i]))) for i in used]
    table = small_table((x_label, f"mean {x_label}", y_label), rows)
    title = f"Reliability: expected calibration error {percent(found.error)}"
    text = f"Bars of how many are so ({y_label}) for each {x_label}, and the diagonal on which they should end."
    return figure(name, title, text, joined(drawn), legend, table)


def confidence_chart(name: str, found: Reliability, *, x_label: str) -> Html:
    """Bars of how many decisions have each confidence."""
    total = max(1, int(found.samples.sum()))
    shares = found.samples / total
    y_ticks = ticks(0.0, float(shares.max()))
    area = Area(0.0, 1.0, 0.0, y_ticks[-1])
    used = np.flatnonzero(found.samples).tolist()
    texts = [f"{bin_name(found, i)}: {count(int(found.samples[i]))} decisions" for i in used]
    drawn = [axes(area, y_ticks, FIFTHS, x_label, whole_percent, whole_percent), bars(area, found, shares, texts)]
    legend = legend_entry("s0 wide", "share")
    rows = [(bin_name(found, i), count(int(found.samples[i])), percent(float(shares[i]))) for i in used]
    table = small_table((x_label, "decisions", "share"), rows)
    text = f"Bars of the share of all decisions for each {x_label}."
    return figure(name, f"Share of the {count(total)} decisions by {x_label}", text, joined(drawn), legend, table)


def bars(area: Area, found: Reliability, heights: Floats, texts: Sequence[str]) -> Html:
    """A bar for each bin that has decisions, with a text to show when it is pointed at."""
    bins, drawn = len(found.samples), []
    for i, text in zip(np.flatnonzero(found.samples).tolist(), texts, strict=True):
        left, right, top = area.x(i / bins), area.x((i + 1) / bins), area.y(float(heights[i]))
        place = {"x": left + 1, "y": top, "width": round(right - left - 2, 1), "height": round(area.y(0.0) - top, 1)}
        drawn.append(tag("rect", tag("title", text), class_="bar", **place))
    return joined(drawn)


def bin_name(found: Reliability, index: int) -> str:
    """Ends of a bin."""
    bins = len(found.samples)
    return f"{whole_percent(index / bins)} to {whole_percent((index + 1) / bins)}"


def whole_percent(value: float) -> str:
    """A share as a percentage without decimals."""
    return percent(value, 0)


def bar(share: float, class_: str) -> Html:
    """A bar whose length is a share of the width, for a cell of a table."""
    length = round(100 * share, 2)
    shape = tag("rect", class_=f"bar {class_}", x=0, y=0, width=length, height=10)
    return tag("svg", shape, viewBox="0 0 100 10", preserveAspectRatio="none", aria_hidden="true")


def axes(
    area: Area,
    y_ticks: Sequence[float],
    x_values: Sequence[float],
    x_label: str,
    x_format: Callable[[float], str],
    y_format: Callable[[float], str],
) -> Html:
    """Grid, figures at both axes, and the name of the x axis."""
    parts = []
    for value in y_ticks:
        at = area.y(value)
        parts.append(tag("line", class_="grid", x1=LEFT, x2=WIDTH - RIGHT, y1=at, y2=at))
        parts.append(tag("text", y_format(value), x=LEFT - 5, y=at + 3.5, text_anchor="end"))
    for i, value in enumerate(x_values):
        at = area.x(value)
        parts.append(tag("line", class_="grid", x1=at, x2=at, y1=TOP, y2=HEIGHT - BOTTOM))
        # The last label would else leave the drawing.
        anchor = "end" if i == len(x_values) - 1 and at > WIDTH - RIGHT - 8 else "middle"
        at = WIDTH - 2 if anchor == "end" else at
        parts.append(tag("text", x_format(value), x=at, y=HEIGHT - BOTTOM + 14, text_anchor=anchor))
    parts.append(tag("text", x_label, x=(LEFT + WIDTH - RIGHT) / 2, y=HEIGHT - 4, text_anchor="middle"))
    return joined(parts)


def x_ticks(low: float, high: float) -> list[float]:
    """Round numbers inside of [low, high]."""
    return [value for value in ticks(low, high) if low <= value <= high]


def polyline(area: Area, series: Series, class_: str) -> Html:
    """The line of a series, with gaps where it has none; a single point becomes a dot."""
    points = zip(series.x.tolist(), series.y.tolist(), strict=True)
    path, pen_down = [], False
    for x, y in points:
        if np.isfinite(y):
            path.append(f"{'L' if pen_down else 'M'}{area.x(x)} {area.y(y)}")
        pen_down = bool(np.isfinite(y))
    drawn = [tag("path", class_=class_, d="".join(path))]
    finite = np.flatnonzero(np.isfinite(series.y))
    if len(finite) < 30:
        number = class_.split()[-1]
        drawn += [
            tag("circle", class_=f"dot {number}", cx=area.x(series.x[i]), cy=area.y(series.y[i]), r=2.2)
            for i in finite.tolist()
        ]
    return joined(drawn)


def described_line(
    series: Series, y_format: Callable[[float], str], x_format: Callable[[float], str], x_label: str
) -> str:
    """One sentence about a line."""
    finite = np.flatnonzero(np.isfinite(series.y))
    if not len(finite):
        return f"{series.name}: no value"
    first, last = finite[0], finite[-1]
    start = f"{y_format(float(series.y[first]))} at {x_format(float(series.x[first]))}"
    end = f"{y_format(float(series.y[last]))} at {x_format(float(series.x[last]))}"
    return f"{series.name}: from {start} to {end}"


def legend_entry(class_: str, text: str) -> Html:
    """A piece of a line and what it stands for."""
    sample = tag("line", class_=f"line {class_}", x1=0, x2=24, y1=5, y2=5)
    return tag("li", tag("svg", sample, viewBox="0 0 24 10", width=24, height=10, aria_hidden="true"), " ", text)


def values_table(
    lines: Sequence[Series], x_label: str, x_format: Callable[[float], str], y_format: Callable[[float], str]
) -> Html:
    """Some of the values of each line: of lines with the same x side by side, of others one below the other."""
    rows: list[tuple[str, ...]] = []
    same = all(np.array_equal(one.x, lines[0].x) for one in lines)
    if same:
        at = some(len(lines[0].x))
        rows = [(x_format(float(lines[0].x[i])), *(y_format(float(one.y[i])) for one in lines)) for i in at]
        return small_table((x_label, *(one.name for one in lines)), rows)
    for one in lines:
        rows += [(one.name, x_format(float(one.x[i])), y_format(float(one.y[i]))) for i in some(len(one.x))]
    return small_table(("Line", x_label, "Value"), rows)


def some(size: int) -> list[int]:
    """At most `MOST_ROWS` indices from the first to the last."""
    chosen: Floats = np.linspace(0, size - 1, min(size, MOST_ROWS))
    indices: list[int] = np.unique(chosen.round().astype(np.int64)).tolist()
    return indices


def small_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Html:
    """A table that opens on demand."""
    heading = tag("tr", *(tag("th", text, scope="col") for text in head))
    body = [tag("tr", tag("th", row[0], scope="row"), *(tag("td", cell) for cell in row[1:])) for row in rows]
    table = tag("table", tag("thead", heading), tag("tbody", *body))
    return tag("details", tag("summary", "Numbers"), tag("div", table, class_="scroll"))


def figure(name: str, title: str, text: str, drawn: Html, legend: Html, table: Html) -> Html:
    """A drawing with its title, legend and table."""
    svg = tag(
        "svg",
        tag("title", title, id=f"{name}-title"),
        tag("desc", text, id=f"{name}-text"),
        drawn,
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        aria_labelledby=f"{name}-title {name}-text",
    )
    caption = tag("figcaption", tag("h3", title), tag("ul", legend, class_="legend") if legend else None)
    return tag("figure", caption, svg, table, class_="chart card")
