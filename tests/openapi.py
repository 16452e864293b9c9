"""The contract as OpenAPI 3.1, as Envoy offers it: POST of a request in JSON to `/sellertrust.v1.Service/Method`."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from google.protobuf.descriptor_pb2 import DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorSet
from google.rpc import code_pb2

from scoring.base.canonical import JsonObject
from sellertrust.version import VERSION

PROTO = Path(__file__).parents[1] / "proto"
OURS = ".sellertrust.v1."
SCHEMAS = "#/components/schemas/"
Field = FieldDescriptorProto
WHOLE = {"type": ["string", "integer"], "format": "int64"}
SCALARS: dict[int, JsonObject] = {
    Field.TYPE_STRING: {"type": "string"},
    Field.TYPE_BYTES: {"type": "string", "contentEncoding": "base64"},
    Field.TYPE_BOOL: {"type": "boolean"},
    Field.TYPE_DOUBLE: {"type": ["number", "string"]},
    Field.TYPE_FLOAT: {"type": ["number", "string"]},
    Field.TYPE_INT32: {"type": "integer", "format": "int32"},
    Field.TYPE_UINT32: {"type": "integer", "format": "int64"},
    Field.TYPE_INT64: WHOLE,
    Field.TYPE_UINT64: WHOLE,
}
WELL_KNOWN: dict[str, JsonObject] = {
    ".google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    ".google.protobuf.Duration": {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]+)?s$"},
}
STATUS = {
    "type": "object",
    "description": "A failed call. Its details name wrong fields, or a reason.",
    "properties": {
        "code": {"type": "integer"},
        "message": {"type": "string"},
        "details": {"type": "array", "items": {"type": "object", "properties": {"@type": {"type": "string"}}}},
    },
    "required": ["code", "message"],
    "additionalProperties": False,
}


class Comments:
    """The comments of one file, by the place of what they describe."""

    def __init__(self, file: Any) -> None:
        self._texts = {tuple(place.path): place.leading_comments for place in file.source_code_info.location}

    def __getitem__(self, path: tuple[int, ...]) -> str:
        return " ".join(self._texts.get(path, "").split())


def text() -> str:
    return json.dumps(document(), indent=1, ensure_ascii=False) + "\n"


@cache
def document() -> JsonObject:
    buf = Path(sys.executable).with_name("buf")
    built = subprocess.run(
        [buf, "build", "-o", "-", "--as-file-descriptor-set"], cwd=PROTO, check=True, capture_output=True
    )
    files = [file for file in FileDescriptorSet.FromString(built.stdout).file if f".{file.package}." == OURS]
    paths: JsonObject = {}
    schemas: JsonObject = {}
    examples: JsonObject = {}
    for file in files:
        comments = Comments(file)
        for number, service in enumerate(file.service):
            for index, method in enumerate(service.method):
                name = f"{file.package}.{service.name}/{method.name}"
                paths[f"/{name}"] = {"post": _operation(service.name, method, comments[6, number, 2, index])}
        for number, message in enumerate(file.message_type):
            schemas |= _messages(f"{file.package}.{message.name}", message, comments, (4, number))
        for number, enumeration in enumerate(file.enum_type):
            schemas[f"{file.package}.{enumeration.name}"] = _enumeration(enumeration, comments[5, number])
            if enumeration.name == "ErrorReason":
                examples = dict(_examples(enumeration, comments, (5, number)))
    schemas["google.rpc.Status"] = STATUS
    failed = {"schema": {"$ref": f"{SCHEMAS}google.rpc.Status"}, "examples": examples}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "sellertrust",
            "version": VERSION,
            "license": {"name": "Apache 2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "http://127.0.0.1:8081", "description": "Envoy of deploy/compose.yaml"}],
        "security": [{}, {"token": []}],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "responses": {"Failed": {"description": "Failed.", "content": {"application/json": failed}}},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(service: str, method: Any, comment: str) -> JsonObject:
    asked, answered = _reference(method.input_type), _reference(method.output_type)
    if method.client_streaming:
        asked = {"type": "array", "items": asked}
    if method.server_streaming:
        answered = {"type": "array", "items": answered}
    return {
        "operationId": method.name,
        "tags": [service],
        "description": comment,
        "requestBody": {"required": True, "content": {"application/json": {"schema": asked}}},
        "responses": {
            "200": {"description": "Done.", "content": {"application/json": {"schema": answered}}},
            "default": {"$ref": "#/components/responses/Failed"},
        },
    }


def _messages(
    name: str, message: DescriptorProto, comments: Comments, path: tuple[int, ...]
) -> Iterator[tuple[str, JsonObject]]:
    maps = {f".{name}.{one.name}": one for one in message.nested_type if one.options.map_entry}
    properties = {}
    for number, field in enumerate(message.field):
        kind = _value(field)
        if field.type_name in maps:
            kind = {"type": "object", "additionalProperties": _value(maps[field.type_name].field[1])}
        elif field.label == Field.LABEL_REPEATED:
            kind = {"type": "array", "items": kind}
        properties[field.json_name] = kind | {"description": comments[(*path, 2, number)]}
    shown = {"type": "object", "description": comments[path], "properties": properties, "additionalProperties": False}
    yield name, shown
    for number, inner in enumerate(message.nested_type):
        if not inner.options.map_entry:
            yield from _messages(f"{name}.{inner.name}", inner, comments, (*path, 3, number))
    for number, enumeration in enumerate(message.enum_type):
        yield f"{name}.{enumeration.name}", _enumeration(enumeration, comments[(*path, 4, number)])


def _value(field: FieldDescriptorProto) -> JsonObject:
    return SCALARS.get(field.type) or _reference(field.type_name)


def _reference(kind: str) -> JsonObject:
    return WELL_KNOWN.get(kind) or {"$ref": f"{SCHEMAS}{kind.removeprefix('.')}"}


def _enumeration(enumeration: EnumDescriptorProto, comment: str) -> JsonObject:
    return {"type": "string", "description": comment, "enum": [value.name for value in enumeration.value]}


def _examples(
    reasons: EnumDescriptorProto, comments: Comments, path: tuple[int, ...]
) -> Iterator[tuple[str, JsonObject]]:
    for number in range(len(reasons.value)):
        stated, mark, example = comments[(*path, 2, number)].partition("Example: ")
        if mark:
            status, _, meaning = stated.strip().partition(": ")
            info = json.loads(example)
            details = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo"} | info]
            code = code_pb2.Code.Value(re.sub(r"\W", "", status))
            message = re.split(r"(?<=\.) ", meaning[:1].upper() + meaning[1:])[0]
            yield info["reason"], {"value": {"code": code, "message": message, "details": details}}
