"""How a benchmark tells its figures: one JSON object a line, or a table for people."""

import json
from typing import NamedTuple


class Figure(NamedTuple):
    """One measured value, what it should be, and what it was measured against."""

    name: str
    value: float
    unit: str
    goal: str
    against: str


def tell(figure: Figure, *, as_json: bool) -> None:
    """Prints one figure as soon as it is known."""
    if as_json:
        print(json.dumps(figure._asdict()), flush=True)
    else:
        print(
            f"{figure.name:28} {figure.value:>12,.3f} {figure.unit:14}"
            f" goal {figure.goal:10} against {figure.against}",
            flush=True,
        )
