"""What was asked for, and where it ran."""

from __future__ import annotations

from lightly_train.report.data import ReportData
from lightly_train.report.markup import dotted_name, joined, shown_name, tag
from lightly_train.report.sections.parts import Section, facts_table, figures_table

LONGEST_VALUE = 300
"""Characters of an argument."""

OFF = "None"


def arguments(data: ReportData) -> Section:
    """Everything that decided the run."""
    lead = (
        "Every setting as it was used, with the reason where it was “auto”; settings.json and train.log have them too."
    )
    head = ("Argument", "Value", "Why")
    rows = [
        (tag("code", dotted_name(name)), tag("code", shown_name(value, LONGEST_VALUE)), reason)
        for name, value, reason in data.arguments
        if value != OFF
    ]
    off = [name for name, value, _ in data.arguments if value == OFF]
    listed = tag("p", *(piece for name in off for piece in (tag("code", name), " ")))
    rest = tag("details", tag("summary", f"Arguments that are off or not given (None): {len(off)}"), listed)
    table = figures_table("Arguments", head, rows, text_columns=3)
    return Section("arguments", "Resolved arguments", lead, joined([table, rest]))


def environment(data: ReportData) -> Section:
    """Where the run ran."""
    lead = "The machine and the versions that this report was made with."
    return Section("environment", "Environment", lead, facts_table(data.environment, "Environment"))
