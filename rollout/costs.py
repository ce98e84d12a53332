"""What a course of a rollout cost: its wrong answers, beside those of each version alone. Pure."""

from collections import Counter
from typing import Literal

from msgspec import Struct

from rollout.replay import Given
from streams.events import Label, Prediction

Policy = Literal["as decided", "champion alone", "challenger at once"]
Error = Literal["wrong", "false alarm", "miss"]


class Cost(Struct, frozen=True, kw_only=True):
    """Errors of one policy among requests whose truth is known and that every policy could answer.

    `false_alarms` and `misses` are of a model with a positive class, else None.
    """

    policy: Policy
    labelled: int
    wrong: int
    wrong_a_day: float
    false_alarms: int | None
    misses: int | None


class Costs:
    """Adds up labelled requests; an answer that failed is wrong."""

    def __init__(self, *, champion: str, challenger: str, positive: str | None) -> None:
        self._versions: dict[Policy, str] = {
            "champion alone": champion,
            "challenger at once": challenger,
        }
        self._positive = positive
        self._labelled = 0
        self._errors: Counter[tuple[Policy, Error]] = Counter()

    def add(self, request: Given, truth: Label) -> None:
        """The truth about a request is known. Counted is the first, of an outcome."""
        versions = {**self._versions, "as decided": request.live}
        if truth.label is None or any(v not in request.answers for v in versions.values()):
            return
        self._labelled += 1
        for policy, version in versions.items():
            assert version is not None
            for error in self._errors_of(request.answers[version], truth.label):
                self._errors[policy, error] += 1

    def told(self, *, days: float) -> list[Cost]:
        """Of each policy, over so many days; empty where no request could be compared."""
        if not self._labelled:
            return []
        policies: tuple[Policy, ...] = ("champion alone", "as decided", "challenger at once")
        return [
            Cost(
                policy=policy, labelled=self._labelled, wrong=self._errors[policy, "wrong"],
                wrong_a_day=self._errors[policy, "wrong"] / days,
                false_alarms=self._errors[policy, "false alarm"] if self._positive else None,
                misses=self._errors[policy, "miss"] if self._positive else None,
            )
            for policy in policies
        ]  # fmt: skip

    def _errors_of(self, answer: Prediction, truth: str) -> list[Error]:
        said = answer.output.label if answer.output else None
        if said == truth:
            return []
        if self._positive is None:
            return ["wrong"]
        kinds: list[Error] = ["wrong"]
        if truth == self._positive:
            kinds.append("miss")
        elif said == self._positive:
            kinds.append("false alarm")
        return kinds
