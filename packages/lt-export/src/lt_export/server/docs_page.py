"""The OpenAPI document as a page for people."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import Any

from lt_data import listed
from lt_export.server.bodies import CURL
from lt_export.server.pages import page, table

SHOWN_VALUES = 10
"""Of those that a field may have; the document has all of them."""

Json = Mapping[str, Any]


def docs_page(document: Json) -> str:
    """An OpenAPI document as a page."""
    parts = [f"<p>{escape(document['info']['description'])}</p>"]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            parts += _operation(path, method, operation)
    parts.append("<h2>What answers hold</h2>")
    for name, schema in document["components"]["schemas"].items():
        if schema.get("properties"):
            rows = list(_fields(schema))
            if not any(meaning for _, _, meaning in rows):
                rows = [row[:2] for row in rows]
            parts += [f"<h3>{escape(name)}</h3>", table(rows, ("Field", "Is", "")[: len(rows[0])])]
    return page(f"{document['info']['title']}, version {document['info']['version']}", *parts)


def _operation(path: str, method: str, operation: Json) -> Iterable[str]:
    yield f"<h2>{escape(method.upper())} {escape(path)}</h2><p>{escape(operation['summary'])}</p>"
    if "description" in operation:
        yield f"<p>{escape(operation['description'])}</p>"
    if "requestBody" in operation:
        body = operation["requestBody"]
        yield f"<h3>Body</h3><p>{escape(body['description'])} Content-Type: {escape(', '.join(body['content']))}.</p>"
        yield f"<pre>{escape(chr(10).join(f'curl {one} HOST:PORT{path}' for one in CURL))}</pre>"
    if "parameters" in operation:
        rows = ((one["name"], kind_of(one["schema"]), one["description"]) for one in operation["parameters"])
        yield "<h3>Query</h3>" + table(rows, ("Parameter", "Is", ""))
    answers = operation["responses"]
    yield "<h3>Answers</h3>"
    rows = ((status, _content(answer), answer["description"]) for status, answer in answers.items())
    yield table(rows, ("Status", "Holds", "Means"))


def _content(answer: Json) -> str:
    """What an answer holds: its schema, or its content type where that is all."""
    ((kind, content),) = answer["content"].items()
    return kind_of(content["schema"]) if kind == "application/json" else str(kind)


def _fields(schema: Json, before: str = "") -> Iterator[Sequence[str]]:
    """Rows for each field of an object, and for those of objects in it."""
    for name, inner in schema["properties"].items():
        yield before + name, kind_of(inner), inner.get("description", "")
        items = inner.get("items", inner)
        if items.get("properties"):
            yield from _fields(items, f"{before}{name}[]." if items is not inner else f"{before}{name}.")


def kind_of(schema: Json) -> str:
    """A JSON Schema, of the kinds that our document has, in words."""
    return _kind(schema) + (f", {schema['default']} if not given" if "default" in schema else "")


def _kind(schema: Json) -> str:
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "oneOf" in schema:
        return " or ".join(map(kind_of, schema["oneOf"]))
    if "enum" in schema:
        values = [json.dumps(one, ensure_ascii=False) for one in schema["enum"]]
        return values[0] if len(values) == 1 else f"one of {listed(values, SHOWN_VALUES)}"
    given = schema.get("type", "anything")
    kinds = [given] if isinstance(given, str) else given
    words = [" or ".join(f"list of {_item(schema['items'])}" if kind == "array" else kind for kind in kinds)]
    if "minimum" in schema:
        words.append(f"from {schema['minimum']}")
    if "exclusiveMinimum" in schema:
        words.append(f"above {schema['exclusiveMinimum']}")
    if "maximum" in schema:
        words.append(f"to {schema['maximum']}")
    if "exclusiveMaximum" in schema:
        words.append(f"and below {schema['exclusiveMaximum']}")
    return " ".join(words)


def _item(schema: Json) -> str:
    return f"({kind_of(schema)})" if "oneOf" in schema else kind_of(schema)
