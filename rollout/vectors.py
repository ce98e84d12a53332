"""Examples of assignment for other SDKs: `python -m rollout.vectors docs/vectors/assignment.json`.

`lanes` says what the route tables of a growing rollout hold; `assigned` who gets which arm under
a table. An SDK needs the second only.
"""

import sys
from pathlib import Path
from typing import Any

import msgspec

from rollout.assignment import Challenger, Place, RouteTable, Scope, arm_of
from rollout.lanes import stretches

SHARES: tuple[tuple[float, ...], ...] = (
    (0.0,), (0.01,), (0.02,), (0.05,), (0.5,), (1.0,), (0.000001,), (0.1, 0.9), (0.35, 0.65),
    (0.02, 0.02), (0.5, 0.5), (0.0, 1.0), (0.1, 0.2, 0.5), (0.25, 0.25, 0.25), (0.0, 0.0, 0.8),
    (0.0, 0.7, 0.0), (0.25, 0.25, 0.25, 0.25), (0.0, 0.0, 0.0, 0.9), (0.1, 0.1, 0.1, 0.1, 0.1),
    (0.0, 0.1, 0.125, 0.0, 0.1, 0.1, 0.125, 0.125),
)  # fmt: skip
UNITS = ("account-17", "0", "é", "日本語", "a b", "01930b2e-7d1a-7c3e-9f00-6a1d5c2b8e4f", "x" * 200)
TAGS: tuple[dict[str, str], ...] = ({}, {"region": "EU"}, {"region": "eu", "tier": "gold"})


def _table(*shares: float, salt: str = "r-1", scope: Scope | None = None) -> RouteTable:
    challengers = [
        Challenger(version=f"{42 + k}", share=share, confirm=scope is not None)
        for k, share in enumerate(shares)
    ]
    return Place("fraud-scorer", "checkout", 0, 1).table(
        salt=salt, champion="41", challengers=challengers, unit="account_id", scope=scope,
        expires_at=1_800_000_000_000,
    )  # fmt: skip


def tables() -> list[RouteTable]:
    """One challenger and several, with and without a scope, two salts."""
    return [
        _table(0.0),
        _table(0.05),
        _table(0.5),
        _table(0.5, salt="r-2"),
        _table(1.0),
        _table(0.5, scope={"region": ("EU", "CH")}),
        _table(1.0, scope={"region": ("EU",), "tier": ("gold", "")}),
        _table(0.3, 0.3, salt="ñ"),
        _table(0.25, 0.25, 0.25),
    ]


def vectors() -> dict[str, Any]:
    """Every example with its answer."""
    return {
        "lanes": [
            {"shares": shares, "stretches": [list(one) for one in stretches(shares)]}
            for shares in SHARES
        ],
        "assigned": [
            {"table": table, "units": [
                {"unit": unit, "tags": tags, "arm": arm_of(table, unit, tags).arm}
                for unit in UNITS for tags in TAGS
            ]}
            for table in tables()
        ],
    }  # fmt: skip


def content() -> bytes:
    """The published file."""
    return msgspec.json.format(msgspec.json.encode(vectors()), indent=1) + b"\n"


def main(path: Path) -> None:
    """The file at `path` is as the code says."""
    path.write_bytes(content())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
