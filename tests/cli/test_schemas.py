"""What every `--json` prints is what its schema says, and docs/reports.md explains every field of it."""

from __future__ import annotations

import copy
import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.docs.pages import DOCS

from .conftest import Call

COMMANDS = {
    "run": ["--neuron", "both", "-T", 3],
    "errors": ["-T", "1,3", "--channels", "--accuracy-if", "worst"],
    "compare": ["--methods", "qcfs,ecl", "-T", "1,2", "--calibrate-on-test"],
    "info": ["--plan"],
    "verify": ["--limit", 1],
}
QUIET = ("run", "errors", "compare")


def schema_of(command: str) -> dict[str, Any]:
    return json.loads((files("refsim.reports") / "schemas" / f"{command}.json").read_text())


def printed(refsim: Call, weights: Path, command: str, *more: object) -> dict[str, Any]:
    quiet = ["-q"] if command in QUIET else []
    done = refsim(command, "-w", weights, *COMMANDS[command], *more, *quiet, "--json")
    assert done.code == 0
    return json.loads(done.out)


@pytest.mark.parametrize("command", COMMANDS)
def test_what_is_printed_is_what_the_schema_says(refsim: Call, weights: Path, command: str) -> None:
    schema = schema_of(command)
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(printed(refsim, weights, command), schema)


@pytest.mark.parametrize("command", ["run", "errors"])
def test_other_numbers_fit_too(refsim: Call, weights: Path, command: str) -> None:
    jsonschema.validate(printed(refsim, weights, command, "--dtype", "int8"), schema_of(command))


@pytest.mark.parametrize("command", COMMANDS)
def test_what_is_missing_or_new_is_found(refsim: Call, weights: Path, command: str) -> None:
    report, schema = printed(refsim, weights, command), schema_of(command)
    for key in report:
        less = copy.deepcopy(report)
        del less[key]
        if key in schema["required"]:
            with pytest.raises(jsonschema.ValidationError):
                jsonschema.validate(less, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(report | {"surprise": 1}, schema)


def keys(value: Any) -> set[str]:
    """Names of all fields of a schema."""
    if isinstance(value, list):
        return set().union(*map(keys, value))
    if not isinstance(value, dict):
        return set()
    own = set(value.get("properties", {}))
    return own.union(*(keys(each) for each in value.values()))


@pytest.mark.parametrize("command", ["run", "errors"])
def test_every_field_is_explained(command: str) -> None:
    page = (DOCS / "reports.md").read_text()
    # Said once for all reports, by the definitions that stand in the report itself, or by a `.*`.
    common = {"energy", "interval", "operations", "layers", "steps", "runs", "projections", "name", "source", "target"}
    ann = set(schema_of("run")["properties"]["ann"]["properties"]["operations"]["properties"])
    rounded = {"population", "bits", "error", "saturated", "lost", "number", "reads", "theta", "L", "neurons"}
    moments = {"excess_kurtosis", "jarque_bera", "p_value", "definition", "channels"}
    missing = {key for key in keys(schema_of(command)) - common - ann - rounded - moments if key not in page}
    assert missing == set()
