"""What the docstrings promise is there, and their examples run."""

import ast
import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "evidence").glob("*.py"))
MODULES = [f"evidence.{path.stem}" for path in FILES if path.stem != "__init__"]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_say_what_comes_out(name):
    found = doctest.testmod(importlib.import_module(name))

    assert found.failed == 0


def test_the_figures_on_the_page_for_practitioners_come_out():
    found = doctest.testfile(str(ROOT / "docs" / "statistics.md"), module_relative=False)

    assert found.attempted > 10
    assert found.failed == 0


def public(path: Path):
    """(name, docstring, node) of each public function and class at the top of a file."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield f"{path.stem}.{node.name}", ast.get_docstring(node) or "", node


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_public_name_says_what_it_is(path):
    silent = [name for name, doc, _ in public(path) if len(doc.split()) < 4]

    assert silent == []


def figures(node: ast.FunctionDef | ast.ClassDef) -> bool:
    """Whether it computes: a function, or a class with a statistic's method and a body to it."""
    if isinstance(node, ast.FunctionDef):
        return True
    if any(getattr(base, "id", "") == "Protocol" for base in node.bases):
        return False
    methods = {part.name for part in node.body if isinstance(part, ast.FunctionDef)}
    return bool(methods & {"log_wealth", "__add__", "step"})


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_statistic_shows_one_worked_example(path):
    """Enums, protocols and results are words; everything that computes shows a number."""
    computes = [(name, doc) for name, doc, node in public(path) if figures(node)]

    assert [name for name, doc in computes if ">>>" not in doc] == []
