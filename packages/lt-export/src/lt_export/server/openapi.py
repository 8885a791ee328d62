"""The OpenAPI document of a server, from its model and its limits."""

from __future__ import annotations

import importlib.metadata
from typing import Any

from lt_export.runtime.classifier import EdgeClassifier
from lt_export.server.bodies import FIELD, FORM, RAW
from lt_export.server.config import ServerConfig

VERSION = "3.1.0"
ENUM_LIMIT = 100
"""With more classes the document does not list them; `/info` does."""

Json = dict[str, Any]


def openapi(classifier: EdgeClassifier, config: ServerConfig) -> Json:
    """The document, as plain values."""
    return {
        "openapi": VERSION,
        "info": {
            "title": "Image classification",
            "version": importlib.metadata.version("lt-export"),
            "description": f"A {classifier.task.task} model with {len(classifier.classes)} classes.",
        },
        "paths": {
            "/predict": {"post": _predict(classifier, config)},
            "/info": {
                "get": _get("The model: task, classes, preprocessing, calibration, precision, versions.", "Info")
            },
            "/health": {
                "get": {
                    **_get("Whether the server takes requests.", "Health"),
                    "responses": {
                        "200": _answer("It does.", {"$ref": "#/components/schemas/Health"}),
                        "503": _answer("It is stopping.", {"$ref": "#/components/schemas/Health"}),
                    },
                }
            },
            "/metrics": {"get": _text("Counters and times in Prometheus' text format.", "text/plain")},
            "/openapi.json": {"get": _get("This document.", "Document")},
            "/docs": {"get": _text("This document, for reading.", "text/html")},
            "/": {"get": _text("A page to try the model.", "text/html")},
        },
        "components": {"schemas": _schemas(classifier)},
    }


def _predict(classifier: EdgeClassifier, config: ServerConfig) -> Json:
    file = {"type": "string", "contentMediaType": "application/octet-stream"}
    form = {
        "type": "object",
        "required": [FIELD],
        "additionalProperties": False,
        "properties": {FIELD: {"type": "array", "items": file, "minItems": 1, "maxItems": config.max_images}},
    }
    one = {"$ref": "#/components/schemas/Prediction"}
    each = {"oneOf": [one, {"$ref": "#/components/schemas/Error"}]}
    waits = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}}
    return {
        "operationId": "predict",
        "summary": "Classify an image, or several.",
        "description": (
            "The body is an image file (JPEG, PNG, PPM, BMP, TIFF, WebP, DICOM), whatever its exact type, or a form "
            f"with files in the field `{FIELD}`. Several files give a list in their order, in which one that cannot be "
            "read has an error, and the others their labels. URLs and paths are never followed."
        ),
        "parameters": [
            {
                "name": "topk",
                "in": "query",
                "description": "Number of classes of a multiclass model; changes nothing for multilabel.",
                "schema": {"type": "integer", "minimum": 1, "maximum": len(classifier.classes), "default": 1},
            },
            {
                "name": "threshold",
                "in": "query",
                "description": _threshold_description(classifier),
                "schema": _threshold(classifier),
            },
        ],
        "requestBody": {
            "required": True,
            "description": f"At most {config.max_bytes} bytes.",
            "content": {"image/*": {}, **{kind: {} for kind in RAW}, FORM: {"schema": form}},
        },
        "responses": {
            "200": _answer("Labels by falling score.", {"oneOf": [one, {"type": "array", "items": each}]}),
            "400": _error("A parameter or the form is wrong; says which."),
            "408": _error(f"The body did not come within {config.body_seconds:g} seconds."),
            "413": _error(f"The body is larger than {config.max_bytes} bytes."),
            "415": _error("The content type is another one."),
            "422": _error("The one file is not an image that can be read; says why."),
            "500": _error("The server failed."),
            "503": {**_error("Too many requests are in work, or the server is stopping."), "headers": waits},
        },
    }


def _threshold(classifier: EdgeClassifier) -> Json:
    number = _between()
    if classifier.task.calibration.thresholds is None:
        return {**number, "default": 0.5}
    own = {"type": "string", "enum": ["auto"], "description": "The model's own threshold for each class."}
    return {"oneOf": [number, own], "default": 0.5}


def _between() -> Json:
    return {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}


def _threshold_description(classifier: EdgeClassifier) -> str:
    own = classifier.task.calibration.thresholds is not None
    return "A multilabel model gives every class whose score is greater" + (
        '; "auto" takes the threshold that the model has for each class.' if own else "."
    )


def _schemas(classifier: EdgeClassifier) -> Json:
    label: Json = {"type": "integer"}
    name: Json = {"type": "string"}
    if len(classifier.classes) <= ENUM_LIMIT:
        label["enum"], name["enum"] = list(classifier.classes), list(classifier.classes.values())
    score = {"type": "number", "minimum": 0, "maximum": 1}
    return {
        "Prediction": _object(
            labels={"type": "array", "items": label, "description": "Class IDs."},
            names={"type": "array", "items": name, "description": "Names of the classes."},
            scores={"type": "array", "items": score, "description": "Probabilities of the classes."},
        ),
        "Info": _object(
            task={"enum": ["multiclass", "multilabel"]},
            classes={"type": "array", "items": _object(id={"type": "integer"}, name={"type": "string"})},
            preprocessing={"type": "object"},
            calibration=_object(
                temperature={
                    "type": "number",
                    "exclusiveMinimum": 0,
                    "description": "Divides the logits, inside the model; 1 where none was fitted.",
                },
                thresholds={
                    "type": ["array", "null"],
                    "items": _object(id={"type": "integer"}, name={"type": "string"}, threshold=_between()),
                    "description": 'Of each class, for threshold="auto"; null where none were fitted.',
                },
            ),
            includes_preprocessing={"type": "boolean"},
            min_batch_size={"type": "integer", "minimum": 1},
            max_batch_size={"type": ["integer", "null"]},
            precision={"type": "string"},
            lt_export_version={"type": "string"},
            checkpoint_sha256={"type": ["string", "null"]},
            reference_images={"type": "integer", "minimum": 0},
            device={"type": "string"},
        ),
        "Health": _object(status={"enum": ["ok", "stopping"]}),
        "Document": {"type": "object"},
        "Error": _object(error={"type": "string", "description": "A sentence."}),
    }


def _object(**properties: Json) -> Json:
    return {"type": "object", "required": list(properties), "additionalProperties": False, "properties": properties}


def _get(summary: str, schema: str) -> Json:
    return {"summary": summary, "responses": {"200": _answer(summary, {"$ref": f"#/components/schemas/{schema}"})}}


def _text(summary: str, kind: str) -> Json:
    content = {kind: {"schema": {"type": "string"}}}
    return {"summary": summary, "responses": {"200": {"description": summary, "content": content}}}


def _answer(description: str, schema: Json) -> Json:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _error(description: str) -> Json:
    return _answer(description, {"$ref": "#/components/schemas/Error"})
