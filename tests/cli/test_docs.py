"""docs/cli.md has every command, with an example."""

import re
from pathlib import Path

import click

from penstock.cli.main import EXIT_CODES, cli

DOCS = (Path(__file__).parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")


def commands(group, path):
    with click.Context(group, info_name=path) as ctx:
        for name in group.list_commands(ctx):
            command = group.get_command(ctx, name)
            if isinstance(command, click.Group):
                yield from commands(command, f"{path} {name}")
            else:
                yield f"{path} {name}"


def test_every_command_has_a_section_with_an_example_and_no_other_has():
    sections = [
        part.split("\n", 1) for part in re.split(r"^## (?=penstock )", DOCS, flags=re.M)[1:]
    ]

    assert sorted(title for title, _ in sections) == sorted(commands(cli, "penstock"))
    for title, body in sections:
        assert f"$ {title}" in body or f"|| {title}" in body, title


def test_every_exit_code_is_documented():
    codes = set(re.findall(r"^\| (\d+) \|", DOCS, re.MULTILINE))

    assert codes == {"0", "1", "2", "3", "4", "5", "6", "130"}
    assert {str(code) for code in EXIT_CODES.values()} <= codes
