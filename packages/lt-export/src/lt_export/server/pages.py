"""The page to try the model, and what pages are made of. Nothing is loaded from elsewhere."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from html import escape

from lt_data import listed
from lt_export.runtime.classifier import EdgeClassifier
from lt_export.server.bodies import FIELD, FORM
from lt_export.server.config import ServerConfig

MOST_TOPK = 5
SHOWN_CLASSES = 50

STYLE = (
    ":root{color-scheme:light dark}"
    "body{font:1rem/1.5 system-ui,sans-serif;max-width:50rem;margin:2rem auto;padding:0 1rem;overflow-wrap:anywhere}"
    "h1{line-height:1.2}h2{margin-top:2.5rem;border-top:1px solid;padding-top:1rem}h3{margin-bottom:.3rem}"
    "table{border-collapse:collapse;width:100%}"
    "td,th{text-align:left;vertical-align:top;padding:.3rem 1rem .3rem 0;border-bottom:1px solid #8886}"
    "th{white-space:nowrap}td{min-width:4rem}tbody th{font-weight:600}thead th{font-weight:400;opacity:.7}"
    "pre{overflow-x:auto;padding:.7rem;background:#8882}"
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
        ("Calibrated", _calibrated(classifier)),
        ("Runs on", classifier.device),
    ]
    links = " · ".join(f'<a href="{path}">{path}</a>' for path in ("docs", "openapi.json", "info", "health", "metrics"))
    return page(
        "Image classification",
        table(rows),
        "<h2>Try it</h2>",
        f'<form action="predict{query}" method="post" enctype="{FORM}">',
        f'<p><input type="file" name="{FIELD}" multiple required> {_buttons(classifier)}</p>',
        f"<p>At most {config.max_images} files, {config.max_bytes / 2**20:g} MiB together.</p>",
        "</form>",
        f"<p>{links}</p>",
    )


def _calibrated(classifier: EdgeClassifier) -> str:
    found = classifier.task.calibration
    parts = [f"temperature {found.temperature:.4g}"] if found.temperature != 1 else []
    if found.thresholds is not None:
        each = zip(classifier.task.classes.names, found.thresholds, strict=True)
        parts.append(f"thresholds {listed([f'{name} {threshold:.4g}' for name, threshold in each], SHOWN_CLASSES)}")
    return "; ".join(parts) or "no"


def _buttons(classifier: EdgeClassifier) -> str:
    """Without a script, a choice of how to classify is a button each."""
    if classifier.task.calibration.thresholds is None:
        return "<button>Classify</button>"
    own = "Classify with the model's own thresholds"
    return (
        f'<button>Classify with a threshold of 0.5</button> <button formaction="predict?threshold=auto">{own}</button>'
    )


def table(rows: Iterable[Sequence[str]], heads: Sequence[str] = ()) -> str:
    """Rows of text, the first cell of each a heading of its own."""
    head = f"<thead><tr>{''.join(f'<th>{escape(name)}</th>' for name in heads)}</tr></thead>" if heads else ""
    body = (
        f"<tr><th>{escape(name)}</th>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"
        for name, *cells in rows
    )
    return f"<table>{head}<tbody>{''.join(body)}</tbody></table>"


def page(title: str, *parts: str) -> str:
    """A whole page; the parts are HTML."""
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style>"
    )
    body = f"<h1>{escape(title)}</h1>{''.join(parts)}"
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{body}</body></html>'
