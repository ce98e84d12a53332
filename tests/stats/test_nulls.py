"""No statistic says what is not so more often than alpha, however often somebody looks.

Each cell is a null at its boundary; somebody looks after every unit at first and then every 20. The
last tests hold peers' methods to the same bar: they must miss it, or the bar is none.
"""

from collections.abc import Callable

import numpy as np
import pytest

from benchmarks import peers, scenarios
from benchmarks.metrics import LATENCY, REVENUE, ErrorRate
from benchmarks.scenarios import Ramp, Shadow, Sticky, Traffic
from benchmarks.simulation import (
    Rate,
    cumulative,
    first,
    growing,
    looks,
    most,
    says,
    simulate,
)
from evidence.asymptotic import difference, ratio_of_means
from evidence.bets import BoundedMean
from evidence.effects import Arms, Difference, Ratio
from evidence.normal import NormalTest
from evidence.paired import Pair, PairedDifference, PairedRatio
from evidence.results import Evidence, NotYet, Side
from evidence.risks import EventShare, OneArmShare
from evidence.sequences import Epoch, log_e_late
from evidence.shares import log_e_share, log_e_split

pytestmark = pytest.mark.stats

LOOKS = looks(20_000, 20, dense=500)
SIDES = tuple(Side)

Said = dict[str, object]


def rates(path: Callable[[np.random.Generator], Said], replicates: int) -> dict[str, Rate]:
    """How often each claim was ever made, by name."""
    found = simulate(path, replicates, seed=4)
    return {name: Rate.of(each[name] for each in found) for name in found[0]}


def hold(found: dict[str, Rate], alpha: float = 0.05) -> None:
    for name, rate in found.items():
        assert rate.hits <= most(rate.replicates, alpha), f"{name}: {rate}"


def both_sides(name: str, epochs: list[Epoch], effect: float, at=LOOKS) -> Said:
    return {f"{name} {side}": first(says(epochs, effect, side), at) for side in SIDES}


@pytest.mark.parametrize("pi", [0.5, 0.1, 0.05, 0.01])
@pytest.mark.parametrize("p", [0.5, 0.1, 0.02, 0.005])
def test_identical_versions_have_no_effect(p, pi, replicates):
    traffic = Traffic(ErrorRate(p), pi, 20_000)

    def path(rng):
        counts = traffic.counts(rng, traffic.units(rng), LOOKS)
        return (
            both_sides("difference", [Epoch(Difference(traffic.arms()), counts)], 0.0)
            | both_sides("ratio", [Epoch(Ratio(traffic.arms()), counts)], 1.0)
            | both_sides("event share", [Epoch(EventShare(pi), counts[..., 1])], 1.0)
        )

    hold(rates(path, replicates))


@pytest.mark.parametrize("pi", [0.5, 0.05, 0.01])
@pytest.mark.parametrize("metric", [REVENUE, LATENCY], ids=["revenue", "latency"])
def test_identical_versions_have_no_effect_on_heavy_tails(metric, pi, replicates):
    traffic = Traffic(metric, pi, 20_000)
    at = looks(20_000, 50, dense=100)

    def path(rng):
        counts = traffic.counts(rng, traffic.units(rng), at)
        return both_sides(
            "difference", [Epoch(Difference(traffic.arms()), counts)], 0.0, at
        ) | both_sides("ratio", [Epoch(Ratio(traffic.arms()), counts)], 1.0, at)

    hold(rates(path, replicates))


@pytest.mark.parametrize("pi", [0.5, 0.05])
@pytest.mark.parametrize("p", [0.1, 0.01])
def test_a_version_at_its_margin_is_not_safe(p, pi, replicates):
    traffic = Traffic(ErrorRate(p), pi, 20_000, effect=1.5)

    def path(rng):
        counts = traffic.counts(rng, traffic.units(rng), LOOKS)
        return (
            both_sides("difference", [Epoch(Difference(traffic.arms()), counts)], 0.5 * p)
            | both_sides("ratio", [Epoch(Ratio(traffic.arms()), counts)], 1.5)
            | both_sides("event share", [Epoch(EventShare(pi), counts[..., 1])], 1.5)
        )

    hold(rates(path, replicates))


@pytest.mark.parametrize("margin", [0.0, 0.01])
@pytest.mark.parametrize("discordance", [0.02, 0.1, 0.3])
def test_pairs_at_their_margin_are_not_told_apart(discordance, margin, replicates):
    shadow = Shadow(discordance, worse=margin)
    p0 = (discordance + margin) / 2 / discordance

    def path(rng):
        counts = shadow.counts(rng, LOOKS)
        b, c = counts[:, 0, Pair.CHALLENGER_WRONG], counts[:, 0, Pair.CHAMPION_WRONG]
        n, new = np.unique(b + c, return_index=True)
        share = {
            f"share {side}": first(log_e_share(b[new], n, p0, side) >= np.log(20), LOOKS[new])
            for side in SIDES
        }
        return (
            share
            | both_sides("difference", [Epoch(PairedDifference(shadow.pairs()), counts)], margin)
            | both_sides("ratio", [Epoch(PairedRatio(shadow.pairs()), counts)], shadow.ratio)
        )

    hold(rates(path, replicates))


@pytest.mark.parametrize("name", ["UNIFORM", "RISK_WEIGHTED", "FLOOR"])
def test_audits_do_not_miss_the_true_loss(name, replicates):
    audits = getattr(scenarios, name)

    def path(rng):
        counts = audits.counts(audits.draw(rng), LOOKS)
        return both_sides("audited", [Epoch(audits.statistic(), counts)], audits.loss)

    hold(rates(path, replicates))


def test_a_ramp_under_a_falling_base_rate_shows_no_effect(replicates):
    ramp = Ramp()
    differences = [Difference(arms) for arms in ramp.arms()]
    shares = [EventShare(arms.pi) for arms in ramp.arms()]

    def path(rng):
        _, _, counts = ramp.counts(rng)
        told = {}
        for side in SIDES:
            told[f"difference {side}"] = any(
                says(epochs, 0.0, side).any() for epochs in growing(differences, counts)
            )
            told[f"late {side}"] = any(
                says(epochs, 0.0, side, account=log_e_late).any()
                for epochs in growing(differences, counts)
            )
            told[f"event share {side}"] = any(
                says(epochs, 1.0, side).any()
                for epochs in growing(shares, [found[..., 1] for found in counts])
            )
        return told

    hold(rates(path, replicates))


@pytest.mark.parametrize("pi", [0.5, 0.05])
def test_effects_do_not_follow_a_moving_base_rate_or_a_wrong_guess_of_it(pi, replicates):
    traffic = Traffic(ErrorRate(0.02, end=0.2), pi, 20_000)
    arms = Arms(pi=pi, centre=0.02, sd=0.14)

    def path(rng):
        counts = traffic.counts(rng, traffic.units(rng), LOOKS)
        return both_sides("difference", [Epoch(Difference(arms), counts)], 0.0) | both_sides(
            "ratio", [Epoch(Ratio(arms), counts)], 1.0
        )

    hold(rates(path, replicates))


@pytest.mark.parametrize("pi", [0.5, 0.1, 0.01])
def test_event_shares_do_not_follow_a_moving_base_rate(pi, replicates):
    traffic = Traffic(ErrorRate(0.005, end=0.2), pi, 20_000)

    def path(rng):
        counts = traffic.counts(rng, traffic.units(rng), LOOKS)
        return both_sides("event share", [Epoch(EventShare(pi), counts[..., 1])], 1.0)

    hold(rates(path, replicates))


def test_events_whose_label_is_late_are_shared_as_others(replicates):
    traffic = Traffic(ErrorRate(0.1), 0.1, 20_000)

    def path(rng):
        units = traffic.units(rng)
        delay = rng.exponential(np.where(units.outcome == 1, 5_000, 500))
        arrived = np.argsort(np.arange(traffic.n) + delay)
        late = scenarios.Units(units.challenger[arrived], units.outcome[arrived])
        counts = traffic.counts(rng, late, LOOKS)
        return both_sides("arrived", [Epoch(EventShare(0.1), counts[..., 1])], 1.0)

    hold(rates(path, replicates))


def test_one_value_per_sticky_user_shows_no_effect(replicates):
    sticky = Sticky()
    at = looks(sticky.users)

    def path(rng):
        challenger, user, wrong = sticky.draw(rng)
        share = np.bincount(user, weights=wrong, minlength=sticky.users).astype(int)
        counts = cumulative(challenger * 21 + share, (2, 21), at)
        return both_sides("user", [Epoch(Difference(sticky.user_arms()), counts)], 0.0, at)

    hold(rates(path, replicates))


def test_a_mean_that_swings_is_not_above_its_average(replicates):
    swing = scenarios.Swing()
    at = looks(swing.n, 10)

    def path(rng):
        epochs = [Epoch(swing.statistic(), swing.counts(rng, at))]
        return {"average": first(says(epochs, 0.0, Side.ABOVE), at)}

    hold(rates(path, replicates))


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.9, 0.1), (0.98, 0.01, 0.01)])
def test_a_true_split_is_no_mismatch(shares, replicates):
    def path(rng):
        counts = cumulative(rng.choice(len(shares), 20_000, p=shares), (len(shares),), LOOKS)
        log_e = log_e_split([counts], [shares])
        return {
            "5 %": first(log_e >= np.log(20), LOOKS),
            "rare": first(log_e >= np.log(1e3), LOOKS),
        }

    found = rates(path, replicates)
    hold({"5 %": found["5 %"]})
    hold({"rare": found["rare"]}, alpha=0.001)


@pytest.mark.parametrize("ceiling", [0.5, 0.05, 0.005])
def test_a_share_at_its_ceiling_is_on_neither_side(ceiling, replicates):
    def path(rng):
        counts = cumulative((rng.random(20_000) < ceiling) * 1, (2,), LOOKS)
        mean = BoundedMean((0.0, 1.0), sigma0=np.sqrt(ceiling * (1 - ceiling)))
        return both_sides("share", [Epoch(OneArmShare(), counts)], ceiling) | both_sides(
            "mean", [Epoch(mean, counts)], ceiling
        )

    hold(rates(path, replicates))


@pytest.mark.parametrize("pi", [0.5, 0.1])
@pytest.mark.parametrize("metric", [ErrorRate(0.1), LATENCY], ids=["errors", "latency"])
def test_behind_its_gate_the_asymptotic_sequence_holds_too(metric, pi, replicates):
    traffic, at = Traffic(metric, pi, 60_000), looks(60_000, 1_000)
    compares = {difference: NormalTest(effect=0.0), ratio_of_means: NormalTest(effect=1.0)}

    def path(rng):
        seen = list(scenarios.moments(traffic.units(rng), at))
        return {
            compare.__name__: any(rejected(compare(*arms, question)) for arms in seen)
            for compare, question in compares.items()
        }

    hold(rates(path, replicates))


def rejected(found: Evidence | NotYet) -> bool:
    return isinstance(found, Evidence) and found.rejects


# What the same bar says of others. It must see them, or it sees nothing.


def exceeds(rate: Rate, least: float) -> None:
    assert rate.hits > most(rate.replicates), str(rate)
    assert rate.share > least, str(rate)


def peeked(traffic: Traffic, test, replicates: int) -> Rate:
    def path(rng):
        return first(test(peers.Seen.of(traffic.units(rng), LOOKS), 0.0, None), LOOKS)

    return Rate.of(simulate(path, replicates, seed=4))


def test_the_harness_sees_a_peeked_z_test(replicates):
    exceeds(peeked(Traffic(ErrorRate(0.1), 0.5, 20_000), peers.z_test, replicates), 0.20)


def test_the_harness_sees_an_asymptotic_sequence_at_a_canary(replicates):
    exceeds(peeked(Traffic(ErrorRate(0.01), 0.05, 20_000), peers.asymptotic, replicates), 0.10)


def test_the_harness_sees_a_peeked_mcnemar_test(replicates):
    shadow = Shadow(0.1)

    def path(rng):
        counts = shadow.counts(rng, LOOKS)[:, 0]
        return first(
            peers.mcnemar(counts[:, Pair.CHALLENGER_WRONG], counts[:, Pair.CHAMPION_WRONG], None),
            LOOKS,
        )

    exceeds(Rate.of(simulate(path, replicates, seed=4)), 0.20)


def test_the_harness_sees_events_counted_where_users_are_assigned(replicates):
    sticky = Sticky()

    def path(rng):
        challenger, user, wrong = sticky.draw(rng)
        counts = cumulative(challenger[user] * 2 + wrong, (2, 2), LOOKS)
        told = both_sides("event", [Epoch(Difference(sticky.event_arms()), counts)], 0.0)
        return any(each is not None for each in told.values())

    exceeds(Rate.of(simulate(path, replicates, seed=4)), 0.10)


def test_the_harness_sees_arms_pooled_over_a_ramp(replicates):
    ramp, at = Ramp(n=60_000), looks(60_000, 100)

    def path(rng):
        return first(peers.growthbook(peers.Seen.of(ramp.units(rng)[0], at), 0.0, None), at)

    exceeds(Rate.of(simulate(path, replicates, seed=4)), 0.95)
