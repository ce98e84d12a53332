"""Documents that a test reads cannot rot."""

import re
import tomllib
from pathlib import Path

import pytest

from streams import topics

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]

WORDS = [
    "model", "version", "route", "unit", "arm", "role", "champion", "challenger", "shadow",
    "canary", "guardrail", "answer", "opinion", "verdict", "label", "source", "epoch", "cell",
    "pane", "plan", "envelope", "watermark", "non-inferiority margin", "dead letter",
    "inclusion probability", "inter-annotator agreement",
]  # fmt: skip


def test_the_glossary_defines_every_word_of_the_field_once():
    text = (ROOT / "docs" / "glossary.md").read_text()

    defined = re.findall(r"^\| \*\*(.+?)\*\* \| .{10,} \|$", text, re.M)

    assert set(WORDS) <= set(defined)
    assert len(defined) == len(set(defined))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_inside_the_project_leads_somewhere(page):
    targets = re.findall(r"\]\((?!https?://|#|mailto:)([^)#\s]+)", page.read_text())
    targets += re.findall(r'<img [^>]*src="(?!https?://)([^"]+)"', page.read_text())

    missing = [target for target in targets if not (page.parent / target).exists()]

    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_is_named_exists(page):
    named = re.findall(
        r"`((?:streams|penstock|tests|benchmarks|clients|docs|evidence)/[\w./-]+)`",
        page.read_text(),
    )

    missing = [name for name in named if not (ROOT / name).exists()]

    assert missing == []


def test_every_make_target_that_is_named_exists():
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M))

    named = {name for page in PAGES for name in re.findall(r"`make ([\w-]+)", page.read_text())}

    assert named <= targets


@pytest.mark.parametrize("mark", ["cluster", "crash", "slow", "stats", "torch"])
def test_the_target_of_a_marker_reads_every_path_that_has_it(mark):
    (recipe,) = re.findall(
        rf"^test-{mark}:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.M
    )
    paths = [ROOT / word for word in recipe.split() if word.startswith("tests/")]

    has_it = re.compile(rf"\bmark\.{mark}\b")
    marked = [path for path in (ROOT / "tests").rglob("*.py") if has_it.search(path.read_text())]

    assert marked
    assert [path for path in marked if not any(map(path.is_relative_to, paths))] == []


def test_topics_have_a_payload_a_key_and_a_retention():
    for name, topic in topics.TOPICS.items():
        assert name == topic.name
        assert topic.payload
        assert topic.key
        assert topic.retention_ms > 0


def test_the_extras_of_the_stack_are_declared():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]

    assert extras.keys() >= {
        "kafka", "faust", "postgres", "parquet", "audit", "evidently", "torch", "grafana", "demo",
        "dev",
    }  # fmt: skip
