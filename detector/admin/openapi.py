"""The OpenAPI document of the routes: made of the types that are read and answered, so that it cannot differ."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from detector import __version__
from detector.admin.api import NUMBER
from detector.admin.tokens import Role

if TYPE_CHECKING:
    from detector.admin.routes import Route

_REF = "#/components/schemas/{name}"


def document(routes: "Sequence[Route]") -> dict[str, Any]:
    """OpenAPI 3.1."""
    types = [kind for route in routes for kind in (route.gives, route.takes) if kind is not None]
    schemas, components = msgspec.json.schema_components(types, ref_template=_REF)
    schema_of = dict(zip(map(id, types), schemas, strict=True))
    components["Refused"] = {
        "type": "object",
        "required": ["error"],
        "properties": {"error": {"type": "string", "description": "what was wanted; never what was sent"}},
    }
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        operation: dict[str, Any] = {
            "summary": route.summary,
            "responses": {
                str(status): _answer(route, status, what, schema_of) for status, what in route.answers.items()
            },
        }
        if route.role is not Role.NOBODY:
            operation["description"] = f"Needs the role {route.role.name.lower()}."
            operation["security"] = [{"token": []}, *([{"password": []}] if route.method == "GET" else [])]
        parameters = [
            {"name": name, "in": "query", "required": False, "schema": schema}
            for name, schema in (route.query or {}).items()
        ]
        if "{number}" in route.path:
            schema = {"type": "string", "pattern": NUMBER, "examples": ["+447911123456"]}
            parameters.append({"name": "number", "in": "path", "required": True, "schema": schema})
        if parameters:
            operation["parameters"] = parameters
        if route.takes is not None:
            content = {"application/json": {"schema": schema_of[id(route.takes)]}}
            operation["requestBody"] = {"required": True, "content": content}
        paths.setdefault(route.path, {})[route.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "detector, admin port", "version": __version__},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "password": {"type": "http", "scheme": "basic", "description": "the token as password; only to look"},
            },
        },
    }


def _answer(route: "Route", status: int, what: str, schema_of: Mapping[int, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": what}
    if status < 300 and route.gives is not None:
        answer["content"] = {"application/json": {"schema": schema_of[id(route.gives)]}}
    elif route.path in ("/health", "/ready", "/openapi.json"):
        answer["content"] = {"application/json": {"schema": {"type": "object"}}}
    elif route.path == "/metrics":
        answer["content"] = {"text/plain": {"schema": {"type": "string"}}}
    elif route.path == "/" and status == 200:
        answer["content"] = {"text/html": {"schema": {"type": "string"}}}
    else:
        answer["content"] = {"application/json": {"schema": {"$ref": _REF.format(name="Refused")}}}
    return answer
