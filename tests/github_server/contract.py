"""Requests, answers and webhooks -> what in them departs from GitHub's published description."""

import functools
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

DESCRIPTION = Path(__file__).resolve().parent.parent / "data" / "github_openapi.json"
URI = "urn:github"
JSON = "application/json"
UNTRUE = re.compile(r"(labels/\d+/description|items/\d+/body): None is not of type 'string'$")
"""Where the description is wrong: in lists of pull requests a label's description, in search a body may be null too."""
MULTI = ("path", "ref", "basehead", "branch")
"""Parameters whose values may hold slashes, which a template of the description cannot say."""


@functools.cache
def description() -> Any:
    """The reduced description, loaded once."""
    return json.loads(DESCRIPTION.read_text("utf-8"))


@functools.cache
def validator(pointer: str) -> Any:
    """A compiled validator for the schema at a JSON pointer."""
    resource: Any = Resource.from_contents(description(), default_specification=DRAFT202012)
    registry: Any = Registry().with_resource(URI, resource)
    return jsonschema.Draft202012Validator({"$ref": f"{URI}#{pointer}"}, registry=registry)


def point(*steps: str) -> str:
    """A JSON pointer."""
    return "".join("/" + step.replace("~", "~0").replace("/", "~1") for step in steps)


def faults_of(pointer: str, value: Any, what: str) -> list[str]:
    """Messages of a validator, the deepest cause of each."""
    out = []
    for error in validator(pointer).iter_errors(value):
        cause = jsonschema.exceptions.best_match([error])
        where = "/".join(str(step) for step in cause.absolute_path)
        out.append(f"{what}{f' at {where}' if where else ''}: {cause.message[:300]}")
    return out


def coerce(value: str, schema: dict[str, Any]) -> Any:
    """A parameter's text as the type that its schema names."""
    kinds = schema.get("type", "string")
    if kinds == "integer" or "integer" in [one.get("type") for one in schema.get("oneOf", ())]:
        return int(value) if value.lstrip("-").isdecimal() else value
    if kinds == "boolean":
        return {"true": True, "false": False}.get(value, value)
    if kinds == "array":
        return value.split(",")
    return value


def parameter_faults(template: str, method: str, params: dict[str, str], query: dict[str, str]) -> list[str]:
    """Unknown and missing query parameters, and values that do not fit."""
    out, known = [], set()
    for index, parameter in enumerate(description()["paths"][template][method]["parameters"]):
        name = parameter["name"]
        given = params if parameter["in"] == "path" else query
        known |= {name} if parameter["in"] == "query" else set()
        if name in given:
            pointer = point("paths", template, method, "parameters", str(index), "schema")
            out += faults_of(pointer, coerce(given[name], parameter["schema"]), f"{parameter['in']} parameter {name}")
        elif parameter["required"]:
            out.append(f"{parameter['in']} parameter {name} is missing")
    return out + [f"query parameter {name} is not described" for name in sorted(query.keys() - known)]


def property_names(schema: Any) -> set[str] | None:
    """Every property that a schema or its alternatives name; None where anything goes."""
    if "$ref" in schema:
        node = description()
        for step in schema["$ref"].removeprefix("#/").split("/"):
            node = node[step]
        return property_names(node)
    names = set(schema.get("properties", {}))
    for alternative in [*schema.get("oneOf", ()), *schema.get("anyOf", ()), *schema.get("allOf", ())]:
        names |= property_names(alternative) or set()
    return names or None


def body_faults(template: str, method: str, body: Any, sent: bool) -> list[str]:
    """A body that is missing, not wanted, or of a wrong shape: GitHub answers 422."""
    found = description()["paths"][template][method].get("requestBody")
    if found is None:
        return ["body where none is described"] if sent and body not in ({}, None) else []
    if not sent:
        return ["body is missing"] if found["required"] else []
    if template.endswith("/issues/{issue_number}/labels") and isinstance(body, list):
        body = {"labels": body}  # the prose allows the bare array, the schema does not
    if "schema" not in found["content"].get(JSON, {}):
        return []
    return faults_of(point("paths", template, method, "requestBody", "content", JSON, "schema"), body, "body")


def strangers(template: str, method: str, body: Any) -> list[str]:
    """Properties of a body that nobody described: GitHub ignores them, so they are mistakes of the client."""
    found = description()["paths"][template][method].get("requestBody", {})
    names = property_names(found.get("content", {}).get(JSON, {}).get("schema", {}))
    if names is None or not isinstance(body, dict):
        return []
    return [f"body property {name} is not described" for name in sorted(body.keys() - names)]


def answer_faults(template: str, method: str, status: int, body: Any) -> list[str]:
    """Where a JSON answer of this server departs from the description (redirects, media types and errors aside)."""
    if status >= 300 or isinstance(body, bytes):
        return []
    found = description()["paths"][template][method]["responses"].get(str(status))
    if found is None:
        return [f"status {status} is not described"]
    for kind, entry in found.get("content", {}).items():
        if kind == JSON and "schema" in entry:
            pointer = point("paths", template, method, "responses", str(status), "content", kind, "schema")
            return [one for one in faults_of(pointer, body, f"answer {status}") if not UNTRUE.search(one)]
    return []


def webhook_faults(name: str, payload: Any) -> list[str]:
    """Where a webhook payload departs; `name` as in the description, such as `issues-labeled`."""
    return faults_of(point("webhooks", name, "post", "requestBody", "content", JSON, "schema"), payload, name)
