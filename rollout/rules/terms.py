"""What else a spec can contradict: its versions, slices, audits and freezes."""

from collections.abc import Iterator

from evidence.audited import LADDER
from rollout.freezes import is_endless
from rollout.needs import audit_probability
from rollout.rules.faults import Fault, Rule, at, ms, twice, warning
from rollout.spec import Spec
from streams.errors import InputError
from streams.versions import RESERVED

_SOME_TIME_MS = 1_767_225_600_000  # 2026 begins; whether spans overlap does not hang on it


def versions(spec: Spec) -> Iterator[Fault]:
    refs = [(at("champion"), spec.champion)]
    refs += [(at("challengers", k), ref) for k, ref in enumerate(spec.challengers)]
    for path, ref in refs:
        if ref.version in RESERVED and ref.digest is not None:
            yield Fault((*path, "digest"), f"{ref.version!r} is no software and has no digest")
        if ref.version in RESERVED and path != at("champion"):
            yield Fault(
                (*path, "version"), f"{ref.version!r} cannot be rolled out: nothing serves it",
                f"champion: {{version: {ref.version}}}, with the model as challenger in shadow",
            )  # fmt: skip
    for label in twice(ref.version for _, ref in refs):
        places = [path for path, ref in refs if ref.version == label]
        yield Fault((*places[-1], "version"), f"version {label!r} stands twice")


def slices(spec: Spec) -> Iterator[Fault]:
    for name in twice(spec.slices):
        yield Fault(at("slices"), f"{name!r} stands twice")


def audits(spec: Spec) -> Iterator[Fault]:
    """Inclusion probabilities come from a frozen ladder, so a rate between steps becomes a step."""
    if spec.audits is None or not spec.audits.rate:
        return
    rate = spec.audits.rate
    step = audit_probability(rate)
    if rate < min(LADDER):
        yield Fault(
            at("audits", "rate"), f"{rate:g} is below {min(LADDER):g}: so few labels weigh so much"
            " that nothing is ever proven", f"{min(LADDER):g} or more",
        )  # fmt: skip
    elif step != rate:
        yield warning(
            at("audits", "rate"), f"becomes {step:g}: probabilities are steps of a ladder",
            f"one of {', '.join(f'{each:g}' for each in LADDER)}",
        )  # fmt: skip


def freezes(spec: Spec) -> Iterator[Fault]:
    for k, freeze in enumerate(spec.freeze):
        place = at("freeze", k)
        if not ms(freeze.length):
            yield Fault((*place, "for"), f"{freeze.length} is no time at all", "for example 64h")
        try:
            endless = is_endless([freeze], _SOME_TIME_MS)
        except InputError as error:
            yield Fault((*place, error.field), error.message, error.fix)
            continue
        if endless:
            yield Fault(
                (*place, "for"), f"{freeze.length} reaches into the next start: nothing ever"
                " advances", "a shorter span, or a rarer start",
            )  # fmt: skip
            return
    if len(spec.freeze) > 1 and is_endless(spec.freeze, _SOME_TIME_MS):
        yield Fault(
            at("freeze"), "together they leave no time in which anything advances", "fewer of them"
        )


RULES: tuple[Rule, ...] = (versions, slices, audits, freezes)
