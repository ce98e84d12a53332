"""What control hears of other rooms, while it holds the lease."""

from penstock.installation import Installation
from rollout import measurements
from streams.subscriptions import Subscription
from streams.topics import MEASUREMENTS


class Measurements:
    """The rollouts' reading of `measurements`; it begins with the first step.

    Who does not hold the lease never steps, and so takes no partition of the group.
    """

    def __init__(self, here: Installation, *, owner: str) -> None:
        self._here = here
        self._owner = owner
        self._heard: Subscription | None = None

    def step(self) -> bool:
        """Takes what is there; whether there was anything."""
        if self._heard is None:
            here = self._here
            self._heard = Subscription(
                here.log, here.engine, topic=MEASUREMENTS.name, consumer="rollout",
                owner=self._owner, clock=here.clock, handle=measurements.handle,
            )  # fmt: skip
        return self._heard.step() > 0

    def close(self) -> None:
        if self._heard is not None:
            self._heard.close()
