"""The HTTP API as an OpenAPI 3.1 document, made from the table of operations and the types of their bodies."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from inspect import cleandoc
from typing import Any, Final, Protocol

import msgspec

from beast_ml.serving.openapi_others import OTHER_PATHS, operation_name
from beast_ml.serving.openapi_problems import PROBLEM_SCHEMA, problem_answer
from beast_ml.version import __version__

__all__ = ["Described", "openapi_document"]

_REF: Final = "#/components/schemas/{name}"

_FOR_ALL: Final = (401, 403, 429, 500, 503)
_WITH_BODY: Final = (400, 413, 422)

_SCHEMES: Final = {
    "tenant": {
        "type": "http",
        "scheme": "bearer",
        "description": "A tenant's API key, `bst_...`, made with `beast keys create TENANT`. A server that only its "
        "own machine can reach needs none until the first key is made.",
    },
    "admin": {"type": "http", "scheme": "bearer", "description": "The server's admin key."},
}


class Described(Protocol):
    """What the document says of an operation; see `beast_ml.serving.api.Operation`."""

    @property
    def method(self) -> str:
        """Of the request: GET or POST."""
        ...

    @property
    def path(self) -> str:
        """Of the request."""
        ...

    @property
    def takes(self) -> Any:
        """Type of the body; None: there is none."""
        ...

    @property
    def gives(self) -> Any:
        """Type of the answer; None: it is empty."""
        ...

    @property
    def summary(self) -> str:
        """One line for people."""
        ...

    @property
    def auth(self) -> str:
        """Whose key it asks for: ``tenant`` or ``admin``."""
        ...

    @property
    def tag(self) -> str:
        """Its group."""
        ...

    @property
    def statuses(self) -> Sequence[int]:
        """What it answers beside what all do."""
        ...


def openapi_document(operations: Iterable[Described], more: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the document.

    Parameters
    ----------
    operations
        All that speak JSON both ways.
    more
        Path items of the others: path -> {method -> operation object}, beside those of
        `beast_ml.serving.openapi_others`, which are always there.
    """
    operations = list(operations)
    types = [kind for each in operations for kind in (each.takes, each.gives) if kind is not None]
    schemas, components = msgspec.json.schema_components(types, ref_template=_REF)
    schema_of = iter(schemas)
    paths: dict[str, dict[str, Any]] = {}
    for each in operations:
        takes = None if each.takes is None else next(schema_of)
        gives = None if each.gives is None else next(schema_of)
        paths.setdefault(each.path, {})[each.method.lower()] = _operation(each, takes, gives)
    paths |= OTHER_PATHS | dict(more or {})
    for schema in components.values():
        _tell_fields(schema)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "beast-ml",
            "version": __version__,
            "summary": "Decides, request by request, which language model answers.",
        },
        "paths": {path: paths[path] for path in sorted(paths)},
        "components": {
            "schemas": {**components, "Problem": PROBLEM_SCHEMA},
            "securitySchemes": _SCHEMES,
        },
    }


def _operation(each: Described, takes: Any, gives: Any) -> dict[str, Any]:
    statuses = {*_FOR_ALL, *each.statuses, *(_WITH_BODY if takes is not None else ())}
    answer: dict[str, Any] = {"description": "Done."}
    if gives is not None:
        answer["content"] = {"application/json": {"schema": gives}}
    operation: dict[str, Any] = {
        "operationId": operation_name(each.method, each.path),
        "summary": each.summary,
        "tags": [each.tag],
        "security": [{each.auth: []}],
        "responses": {"200": answer} | {str(status): problem_answer(status) for status in sorted(statuses)},
    }
    if takes is not None:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": takes}}}
    return operation


def _tell_fields(schema: dict[str, Any]) -> None:
    """Turn a numpydoc docstring, which msgspec takes as the description, into one for each field."""
    text = cleandoc(schema.get("description", ""))
    summary, _, parameters = text.partition("\nParameters\n----------\n")
    if not text:
        return
    schema["description"] = summary.strip()
    fields = schema.get("properties", {})
    for names, said in re.findall(r"^(\S.*)\n((?:(?:[ \t]+.*)?\n)*(?:[ \t]+.*)?)", parameters, re.MULTILINE):
        for name in names.split(", "):
            if name in fields and said.strip():
                fields[name].setdefault("description", " ".join(said.split()))
