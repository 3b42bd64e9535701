"""JSON schema and OpenAPI of a model, with its real columns and its own input example."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from trifold.contract.contract import Contract
from trifold.contract.profile import Feature
from trifold.contract.readers import EXACT_FLOAT
from trifold.contract.signature import Column, Tensor
from trifold.contract.tensors import KIND
from trifold.contract.types import TYPES
from trifold.errors import RULES
from trifold.packed import Packed

OPENAPI = "3.1.0"
TIMEOUT = {
    "name": "grpc-timeout",
    "in": "header",
    "description": "How long the client waits for the answer, as gRPC has it: 500m is 500 milliseconds, 5S 5 seconds. "
    "Without it, a request that would have to wait for more than a second is answered 503.",
    "schema": {"type": "string", "pattern": "^[0-9]{1,8}[HMSmun]$"},
    "example": "5S",
}


def row_schema(contract: Contract) -> dict[str, Any]:
    """JSON schema of one row."""
    signature = contract.signature
    if signature.tensor is not None:
        return _tensor_schema(signature.tensor)
    features = contract.profile.features if contract.profile else {}
    schemas = {column.name: _column_schema(column, features.get(column.name)) for column in signature.columns}
    if not signature.named:
        if len(schemas) == 1 and signature.columns[0].depth:
            return next(iter(schemas.values()))
        row = {
            "type": "array",
            "prefixItems": list(schemas.values()),
            "items": False,
            "minItems": len(schemas),
        }
        return {"anyOf": [row, *schemas.values()]} if len(schemas) == 1 else row
    return {
        "type": "object",
        "properties": schemas,
        "required": [column.name for column in signature.columns if column.required],
        "additionalProperties": False,
    }


def openapi(
    contract: Contract, packed: Packed, labels: Sequence[Sequence[str]], limits: Mapping[str, int]
) -> dict[str, Any]:
    """The OpenAPI document of a release.

    Args:
        contract: What the model takes.
        packed: What it says of itself.
        labels: Names of the classes, an entry an output.
        limits: "max_rows".
    """
    request = {
        "type": "object",
        "properties": {
            "rows": {
                "type": "array",
                "items": row_schema(contract),
                "minItems": 1,
                "maxItems": limits["max_rows"],
            },
            **({"params": _params_schema(contract)} if contract.signature.params else {}),
        },
        "required": ["rows"],
        "additionalProperties": False,
    }
    example = {"rows": list(packed.input_example)}
    return {
        "openapi": OPENAPI,
        "info": {"title": packed.title, "version": packed.version, "description": packed.about},
        "paths": {
            "/predict": {
                "post": {
                    "operationId": "predict",
                    "summary": "Predict rows",
                    "parameters": [TIMEOUT],
                    "requestBody": {
                        "required": True,
                        "content": {"application/json": {"schema": request, "example": example}},
                    },
                    "responses": {
                        "200": _response("A prediction for each row, in order", _answer_schema(contract, labels)),
                        "400": _errors("No JSON, or a grpc-timeout that is none"),
                        "413": _errors("Too many rows or too large a body"),
                        "415": _errors("Another type of body than application/json"),
                        "422": _errors("Rows that are refused: which, where, what was expected, what came"),
                        "503": _busy(),
                    },
                }
            },
            **_file_paths(contract, labels),
            "/model": {"get": _plain("model", "What is served: version, digest, parity, signature, example")},
            "/livez": {"get": _plain("livez", "Whether the process is alive")},
            "/readyz": {"get": _plain("readyz", "Whether predictions are served")},
        },
    }


def _file_paths(contract: Contract, labels: Sequence[Sequence[str]]) -> dict[str, Any]:
    """The routes that take a file: a picture where the model takes one, else a table where it has columns."""
    text = {"type": "string"}
    if contract.image:
        form = {
            "type": "object",
            "properties": {"image": {**text, "contentMediaType": "application/octet-stream"}},
            "required": ["image"],
        }
        answer = _answer_schema(contract, labels)
        answer["properties"]["like_training"] = {"type": "array", "items": {"type": "boolean"}}
        return {"/predict/image": _file_path("image", "Predict a picture", "multipart/form-data", form, answer)}
    if not contract.takes_tables:
        return {}
    csv = _file_path(
        "csv", "Predict a table; it comes back with an answer or a reason in each row", "text/csv", text, text
    )
    csv["post"]["responses"]["200"]["content"] = {"text/csv": {"schema": text}}
    return {"/predict/csv": csv}


def _file_path(
    name: str, summary: str, media: str, request: Mapping[str, Any], answer: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "post": {
            "operationId": f"predict_{name}",
            "summary": summary,
            "parameters": [TIMEOUT],
            "requestBody": {"required": True, "content": {media: {"schema": dict(request)}}},
            "responses": {
                "200": _response("The prediction", answer),
                "400": _errors("A grpc-timeout that is none"),
                "408": _errors("A body that does not come in time"),
                "413": _errors("Too large a file"),
                "415": _errors(f"Another type of body than {media}"),
                "422": _errors("A file that is refused: what was expected, what came"),
                "503": _busy(),
            },
        }
    }


def _column_schema(column: Column, feature: Feature | None) -> dict[str, Any]:
    schema: dict[str, Any] = dict(column.kind.schema)
    if feature:
        schema |= {"title": feature.title} if feature.title else {}
        schema |= {"description": f"in {feature.unit}"} if feature.unit else {}
        # Choices refuse nothing, so they are examples and no enum.
        schema |= {"examples": list(feature.choices)} if feature.choices else {}
    for _ in range(column.depth):
        schema = {"type": "array", "items": schema}
    if column.required:
        return schema
    if column.kind.name == "long" and not column.depth:
        schema |= {"minimum": -EXACT_FLOAT, "maximum": EXACT_FLOAT}
    return schema | {"type": [schema["type"], "null"]}


def _tensor_schema(tensor: Tensor) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": TYPES[KIND[tensor.dtype.kind]].schema["type"]}
    if tensor.dtype.kind in "iu":
        limits = np.iinfo(tensor.dtype)
        schema |= {"minimum": int(limits.min), "maximum": int(limits.max)}
    elif tensor.dtype.kind == "f" and tensor.dtype.itemsize < 8:
        largest = float(np.finfo(tensor.dtype).max)
        schema |= {"minimum": -largest, "maximum": largest}
    for size in reversed(tensor.shape):
        schema = {"type": "array", "items": schema, "minItems": size, "maxItems": size}
    return schema


def _params_schema(contract: Contract) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    for name, param in contract.signature.params.items():
        schema = dict(param.kind.schema)
        if param.is_list:
            schema = {"type": "array", "items": schema}
        properties[name] = {**schema, "default": param.default}
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _answer_schema(contract: Contract, labels: Sequence[Sequence[str]]) -> dict[str, Any]:
    by_output = [
        {
            "type": "object",
            "properties": {name: {"type": "number"} for name in names},
            "required": list(names),
        }
        for names in labels
    ]
    row: dict[str, Any] | None = None
    if by_output:
        row = by_output[0] if len(by_output) == 1 else {"type": "array", "prefixItems": by_output}
    several = len(contract.signature.outputs) > 1
    return {
        "type": "object",
        "properties": {
            "model": {"type": "string"},
            "version": {"type": "string"},
            "predictions": {"type": "array", "items": {"type": "array"} if several else {}},
            **({"probabilities": {"type": "array", "items": row}} if row else {}),
        },
        "required": ["model", "version", "predictions"],
    }


def _response(description: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": dict(schema)}}}


def _plain(operation: str, description: str) -> dict[str, Any]:
    return {"operationId": operation, "responses": {"200": _response(description, {"type": "object"})}}


def _busy() -> dict[str, Any]:
    answer = _errors("What waits would take too long, or is too much; try again after the seconds in Retry-After")
    return answer | {"headers": {"Retry-After": {"required": True, "schema": {"type": "integer", "minimum": 1}}}}


def _errors(description: str) -> dict[str, Any]:
    entry = {
        "row": {"type": ["integer", "null"]},
        "column": {"type": ["string", "null"]},
        "rule": {"type": "string", "enum": list(RULES)},
        "expected": {"type": "string"},
        "got": {"type": "string"},
    }
    item = {"type": "object", "properties": entry, "required": list(entry), "additionalProperties": False}
    schema = {
        "type": "object",
        "properties": {"errors": {"type": "array", "items": item}},
        "required": ["errors"],
    }
    return _response(description, schema)
