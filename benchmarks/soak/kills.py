"""Everything befalls a fleet on three brokers: what it counts is what an undisturbed run counts."""

from itertools import cycle, islice

from benchmarks.soak.site import Site
from tests.cluster.chaos import LOST_ANSWERS, Outcome, Plan, chaos
from tests.cluster.fleet import Fleet
from tests.cluster.wire import Wire

SEED = 11
DAYS = 4
GAP_S = (1.0, 5.0)
STRIKE_GAP_S = (2.0, 4.0)
LASTS_S = {"leader": 14, "zombie": 16, "database": 5, "writer": 25}
"""Each strike in turn, and how long it lasts on two busy cores."""


def plan(*, kills: int, per_s: float) -> Plan:
    """So many kills and strikes together, a third of them strikes, and load until the last."""
    strikes = tuple(islice(cycle(LASTS_S), kills // 3))
    seconds = sum(LASTS_S[strike] + sum(STRIKE_GAP_S) / 2 for strike in strikes)
    return Plan(
        seed=SEED, days=DAYS, requests=max(1_000, int(seconds * per_s / 2 / DAYS)), per_s=per_s,
        kills=kills - len(strikes), gap_s=GAP_S, strikes=strikes, strike_gap_s=STRIKE_GAP_S,
    )  # fmt: skip


def hit(site: Site, *, kills: int, per_s: float) -> Outcome:
    """What came of it."""
    direct = site.environ["PENSTOCK_DATABASE_URL"]
    wire = Wire(direct, share=LOST_ANSWERS, seed=SEED)
    theirs = {"PENSTOCK_DATABASE_URL": wire.url(direct)}
    fleet = Fleet(site.environ, site.folder / "fleet.log", theirs=theirs)
    folder = site.folder / "history"
    folder.mkdir()
    try:
        return chaos(
            plan(kills=kills, per_s=per_s), fleet, wire, site.brokers, site.database, folder
        )
    finally:
        fleet.kill()
        wire.close()
