"""Commands that the documentation shows: they exist, and so does every option of them."""

from __future__ import annotations

import re

import click
import pytest

from refsim.cli.main import COMMANDS, cli

from .pages import PAGES, blocks, inline


def commands(page: str) -> list[str]:
    """Every `refsim ...` of a page: in blocks, continued lines joined, and in the running text."""
    lines = [line.strip() for block in blocks(page) for line in block.replace("\\\n", " ").splitlines()]
    parts = [part.strip() for line in lines for part in re.split(r";|&&", line.partition(" #")[0])]
    return [each for each in [*parts, *inline(page)] if each.startswith("refsim ")]


def options_of(name: str) -> set[str]:
    """The options of a command, of a group those of all its commands; of "" those of refsim itself."""
    context = click.Context(cli)
    command = cli.get_command(context, name) if name else cli
    assert command is not None
    if isinstance(command, click.Group) and command is not cli:
        return set().union(*(_options(each, context) for each in command.commands.values()))
    return _options(command, context)


def _options(command: click.Command, context: click.Context) -> set[str]:
    return {option for each in command.get_params(context) for option in (*each.opts, *each.secondary_opts)} | {
        "-h",
        "--help",
    }


def unknown(command: str) -> list[str]:
    """What a shown command names and refsim does not have."""
    words = command.split()[1:]
    name = words[0] if words and not words[0].startswith("-") else ""
    if name and name not in COMMANDS:
        return [name]
    # -5 and -0.001 are values; "-o FILE.{json,csv}" and "--json`" are how people write.
    named = [re.split(r"[=,.)]", word)[0] for word in words if re.match(r"--?[A-Za-z]", word)]
    return [option for option in named if option not in options_of(name)]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_option_that_is_shown_exists(page) -> None:
    for command in commands(page.read_text()):
        assert not unknown(command), command


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_options_named_alone_are_those_of_some_command(page) -> None:
    known = set().union(*map(options_of, COMMANDS))
    theirs = {"--seconds", "--quick", "--only"}  # of scripts that the page names beside them
    alone = {match[0] for each in inline(page.read_text()) if (match := re.match(r"--[a-z][\w-]*", each))}
    assert alone <= known | theirs


def test_pages_show_many_commands() -> None:
    assert sum(len(commands(page.read_text())) for page in PAGES) > 40


@pytest.mark.parametrize(
    ("command", "missing"),
    [
        ("refsim compare --images 300 -T 1,2", ["--images"]),
        ("refsim errors --each-step", ["--each-step"]),
        ("refsim convert FILE --calibrate=DATA --calibration=DATA", ["--calibration"]),
        ("refsim simulate -T 4", ["simulate"]),
        ("refsim --verbose", ["--verbose"]),
        ("refsim run -T 4 --no-ann -o a.run", []),
    ],
)
def test_what_does_not_exist_is_found(command: str, missing: list[str]) -> None:
    assert unknown(command) == missing
