"""HTML from values: whatever is not markup already is escaped, so no name of a class or file can become markup."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable

UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
"""Control characters, which HTML does not allow."""

VOID = frozenset({"br", "img", "meta", "link", "wbr"})
"""Elements without content."""

LONGEST_NAME = 80
"""Characters of a class name or path that are shown."""


class Html(str):
    """Text that is markup already; all other text is escaped where it is put into a tag."""

    __slots__ = ()


Child = str | float | None


def escaped(text: str) -> Html:
    """Text as HTML shows it; what cannot be written as UTF-8 or is a control character becomes a replacement mark."""
    writable = UNPRINTABLE.sub("\ufffd", text).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return Html(html.escape(writable, quote=True))


def tag(name: str, /, *children: Child, **attributes: Child | bool) -> Html:
    """An element.

    Args:
        name: Of the element.
        children: Text, which is escaped, markup, numbers; None is left out.
        attributes: Values are escaped; None and False are left out, True has no value. In names a final `_` is dropped
            and any other stands for `-`.
    """
    opening = f"<{name}{''.join(_attribute(key, value) for key, value in attributes.items())}>"
    if name in VOID:
        return Html(opening)
    return Html(f"{opening}{joined(children)}</{name}>")


def joined(children: Iterable[Child]) -> Html:
    """Pieces one after the other, text among them escaped."""
    return Html("".join(_child(child) for child in children if child is not None))


def shown_name(text: str, longest: int = LONGEST_NAME) -> Html:
    """A name from the user's data, shortened in its middle, in an element with a writing direction of its own."""
    if len(text) <= longest:
        return tag("bdi", text)
    head = longest // 2
    return tag("bdi", f"{text[:head]}…{text[head + 1 - longest :]}", title=text[:1000])


def dotted_name(name: str) -> Html:
    """The name of an argument, which may go on in the next line after a dot or an underscore."""
    return joined(piece for part in re.split(r"(?<=[._])", name) for piece in (tag("wbr"), part))


def _child(child: str | float) -> str:
    return child if isinstance(child, Html) else escaped(str(child))


def _attribute(key: str, value: Child | bool) -> str:
    if value is None or value is False:
        return ""
    name = key.removesuffix("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{escaped(str(value))}"'
