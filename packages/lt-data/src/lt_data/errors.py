"""What lt-data raises.

LtDataError
├── ConfigError              also a ValueError: a dict, YAML file or argument is wrong; lists every problem at once
├── DatasetError             also a ValueError: folders and files do not make the data set that was described
├── ImageDecodeError         also a ValueError: one file is not an image that lt-data reads
├── TaskSpecError            also a ValueError: a stored task description cannot be understood
└── PredictionArgumentError  also a ValueError: `topk` or another argument does not fit
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path

import attrs


class LtDataError(Exception):
    """Base of every error that lt-data raises on purpose."""


@attrs.frozen
class Problem:
    """One thing that is wrong with an input.

    Attributes:
        where: Full path of the key, such as `data.csv_image_column`, or the file.
        what: What was found, what was expected, and what to do.
        count: How many problems it stands for: more than one where they are counted, not described.
    """

    where: str
    what: str
    count: int = 1


class ConfigError(LtDataError, ValueError):
    """Arguments are wrong; `problems` holds all of them.

    Attributes:
        problems: Every problem found, in the order of the input.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(report_problems("in the arguments", self.problems))

    def __reduce__(self) -> tuple[type[ConfigError], tuple[tuple[Problem, ...]]]:
        return type(self), (self.problems,)


class DatasetError(LtDataError, ValueError):
    """Folders and files do not make the data set that was described.

    Attributes:
        problems: Every problem found.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(report_problems("in the data set", self.problems))

    def __reduce__(self) -> tuple[type[DatasetError], tuple[tuple[Problem, ...]]]:
        return type(self), (self.problems,)


class ImageDecodeError(LtDataError, ValueError):
    """A file is not an image that lt-data reads. The message names the file and the reason.

    Attributes:
        path: The file or URL, None for images that came without one.
    """

    def __init__(self, message: str, *, path: Path | str | None = None) -> None:
        self.path = path
        super().__init__(message)

    @property
    def reason(self) -> str:
        """The message without the file, for those who name it themselves."""
        return str(self) if self.path is None else str(self).removeprefix(f"{self.path}: ")


class TaskSpecError(LtDataError, ValueError):
    """A stored task description is damaged, foreign, or newer than this version."""


class PredictionArgumentError(LtDataError, ValueError):
    """An argument, such as `topk`, does not fit the task, is out of range, or names what is not there."""


SHOWN_PROBLEMS = 50
"""More are counted in a message, not shown; the exception holds them all."""


def report_problems(title: str, problems: Sequence[Problem]) -> str:
    """The problems below one heading, their places aligned."""
    total = num_problems(problems)
    shown = problems[:SHOWN_PROBLEMS]
    more = total - num_problems(shown)
    width = max((len(problem.where) for problem in shown), default=0)
    lines = [
        f"{total} problem{'' if total == 1 else 's'} {title}:",
        *(f"  {problem.where:<{width}}  {problem.what}" for problem in shown),
    ]
    return "\n".join([*lines, f"  and {more} more"] if more else lines)


def num_problems(problems: Iterable[Problem]) -> int:
    """How many there are, those that are only counted too."""
    return sum(problem.count for problem in problems)


def listed(names: Sequence[str], limit: int = 10) -> str:
    """Names in a sentence: the first few, those with a comma in quotes, and how many more there are."""
    return _with_more([told_apart(name) for name in names[:limit]], len(names))


def enumerated(texts: Sequence[str], limit: int = 10) -> str:
    """Texts that tell themselves apart, such as an ID with its name, as `listed` has names: without quotes."""
    return _with_more(texts[:limit], len(texts))


def _with_more(shown: Sequence[str], count: int) -> str:
    return ", ".join(shown) + (f" and {count - len(shown)} more" if count > len(shown) else "")


def told_apart(name: str) -> str:
    """A name as it stands between others: with a comma in it, or with nothing to be seen, in quotes."""
    return repr(name) if "," in name or not name.strip() else name


CLOSE = 0.6
"""From this likeness on, of 1, a name may have been meant."""
FIRST_WORDS = 0.85
"""What likeness to the first words of a name is worth, beside likeness to the whole of another."""


def nearest(name: str, candidates: Iterable[str]) -> str | None:
    """The candidate that is most like `name`, or whose first words (with `_` between) are; None if none comes close."""
    known = list(candidates)
    beginnings = {one[:i] for one in known for i, character in enumerate(one) if character == "_" and i}
    whole, begun = _most_like(name, known, CLOSE), _most_like(name, beginnings, CLOSE / FIRST_WORDS)
    if begun is None or (whole is not None and _likeness(name, whole) >= FIRST_WORDS * _likeness(name, begun)):
        return whole
    return max((one for one in known if one.startswith(f"{begun}_")), key=lambda one: _likeness(name, one))


def _most_like(name: str, candidates: Iterable[str], cutoff: float) -> str | None:
    return next(iter(difflib.get_close_matches(name, candidates, n=1, cutoff=cutoff)), None)


def _likeness(name: str, other: str) -> float:
    return difflib.SequenceMatcher(None, other, name).ratio()
