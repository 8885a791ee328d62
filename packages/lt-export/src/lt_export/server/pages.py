"""Two pages for people: one to try the model, one to read the OpenAPI document. Nothing is loaded from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from lt_data import listed
from lt_export.runtime.classifier import EdgeClassifier
from lt_export.server.bodies import FIELD, FORM
from lt_export.server.config import ServerConfig

MOST_TOPK = 5
SHOWN_CLASSES = 50

STYLE = (
    ":root{color-scheme:light dark}"
    "body{font-family:sans-serif;max-width:50rem;margin:2rem auto;padding:0 1rem;line-height:1.5}"
    "table{border-collapse:collapse}td,th{text-align:left;vertical-align:top;padding:.2rem 1rem .2rem 0}"
    "pre{overflow-x:auto}"
)

_STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()

SECURITY_HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; frame-ancestors 'none'; "
        "base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
"""No script, no frame, no image, and nothing from another server."""


def index_page(classifier: EdgeClassifier, config: ServerConfig) -> str:
    """What the model is, and a form to try it."""
    task, height_width = classifier.task, classifier.task.preprocessing.image_size
    query = f"?topk={min(MOST_TOPK, len(task.classes))}" if task.task == "multiclass" else ""
    rows = [
        ("Task", task.task),
        ("Classes", f"{len(task.classes)}: {listed(task.classes.names, SHOWN_CLASSES)}"),
        ("Input", "{} x {} pixels, height x width".format(*height_width)),
        ("Precision", classifier.description.precision),
        ("Runs on", classifier.device),
    ]
    links = " · ".join(f'<a href="{path}">{path}</a>' for path in ("docs", "openapi.json", "info", "health", "metrics"))
    return _page(
        "Image classification",
        _table(rows),
        "<h2>Try it</h2>",
        f'<form action="predict{query}" method="post" enctype="{FORM}">',
        f'<p><input type="file" name="{FIELD}" multiple required> <button>Classify</button></p>',
        f"<p>At most {config.max_images} files, {config.max_bytes / 2**20:g} MiB together.</p>",
        "</form>",
        f"<p>{links}</p>",
    )


def docs_page(document: Mapping[str, Any]) -> str:
    """An OpenAPI document as a page."""
    parts = [f"<p>{escape(document['info']['description'])}</p>"]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            parts += _operation(path, method, operation)
    parts.append("<h2>Schemas</h2>")
    for name, schema in document["components"]["schemas"].items():
        parts += [f"<h3>{escape(name)}</h3>", f"<pre>{escape(json.dumps(schema, indent=2, ensure_ascii=False))}</pre>"]
    return _page(f"{document['info']['title']}, version {document['info']['version']}", *parts)


def _operation(path: str, method: str, operation: Mapping[str, Any]) -> Iterable[str]:
    yield f"<h2>{escape(method.upper())} {escape(path)}</h2><p>{escape(operation['summary'])}</p>"
    if "description" in operation:
        yield f"<p>{escape(operation['description'])}</p>"
    if "parameters" in operation:
        yield "<h3>Query</h3>"
        yield _table(
            (one["name"], f"{one['description']} {json.dumps(one['schema'])}") for one in operation["parameters"]
        )
    if "requestBody" in operation:
        body = operation["requestBody"]
        yield f"<h3>Body</h3><p>{escape(body['description'])} {escape(', '.join(body['content']))}</p>"
    yield "<h3>Answers</h3>"
    yield _table((status, answer["description"]) for status, answer in operation["responses"].items())


def _table(rows: Iterable[tuple[str, str]]) -> str:
    cells = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in rows)
    return f"<table>{cells}</table>"


def _page(title: str, *parts: str) -> str:
    head = f'<head><meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style></head>'
    body = f"<body><h1>{escape(title)}</h1>{''.join(parts)}</body>"
    return f'<!doctype html><html lang="en">{head}{body}</html>'
