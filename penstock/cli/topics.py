"""`penstock topics`: the log's topics, which on Kafka nothing else makes."""

import click

from penstock.cli.base import Command, Group, output

COLUMNS = ["topic", "partitions", "records", "gone", "retention_ms", "min_insync", "topic_id"]


@click.group(cls=Group)
def topics() -> None:
    """The topics of the log."""


@topics.command(cls=Command)
def ensure() -> None:
    """Make the topics that are missing; those that stand keep what they have."""
    from penstock import topics as found
    from penstock.cli.settings import settings

    output().rows(found.ensure(settings()), COLUMNS)


@topics.command("list", cls=Command)
def list_topics() -> None:
    """List every topic of the house, with what it holds and keeps."""
    from penstock import topics as found
    from penstock.cli.settings import settings

    output().rows(found.listed(settings()), COLUMNS)


@topics.command(cls=Command)
@click.argument("name")
def describe(name: str) -> None:
    """Show the partitions of a topic and the offsets that they hold."""
    from penstock import topics as found
    from penstock.cli.settings import settings

    output().rows(found.described(settings(), name), ["partition", "begin", "end"])
