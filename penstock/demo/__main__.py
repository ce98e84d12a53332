"""`python -m penstock.demo`: tells a rollout that goes back and one that does not."""

import sys
from pathlib import Path

import click

from penstock.cli.output import Output
from penstock.demo import beginning, telling
from penstock.demo.folder import Folder
from penstock.demo.models import Fault
from penstock.demo.screen import screen
from streams.errors import Error


@click.command()
@click.option("--speed", type=click.FloatRange(60, 1200), help="Domain time per wall time; 600.")
@click.option("--seed", type=click.IntRange(0), help="Of models and requests; 7 unless given.")
@click.option("--exit", "exits", is_flag=True, help="End by itself after the story.")
@click.option("--port", type=click.IntRange(1, 65_535), help="Of Penstock; 8090 if it is free.")
@click.option("--cluster", is_flag=True, help="On a Kafka and a PostgreSQL of its own.")
@click.option("--data", type=click.Path(path_type=Path), help="Folder; .demo, or .demo-cluster.")
@click.option("--fault", type=click.Choice(["labels", "none"]), help="Of v3; none: it is v2 again.")
def demo(
    speed: float | None, seed: int | None, exits: bool, port: int | None, cluster: bool,
    data: Path | None, fault: Fault | None,
) -> int:  # fmt: skip
    """Two rollouts of a small service on the client, decided by a Penstock of its own."""
    folder = Folder((data or Path(".demo-cluster" if cluster else ".demo")).absolute())
    return telling.tell(
        folder,
        screen(),
        lambda: beginning.story(
            folder, seed=seed, fault=fault, speed=speed, port=port, cluster=cluster
        ),
        stays=not exits,
        cluster=cluster,
    )


def main() -> int:
    """The exit code; an error becomes text here."""
    try:
        return int(demo.main(standalone_mode=False) or 0)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except Error as error:
        Output().fail(error, 1)
        return 1


if __name__ == "__main__":
    sys.exit(main())
