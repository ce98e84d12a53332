"""What control hears of other rooms, while it holds the lease."""

from penstock.installation import Installation
from streams.subscriptions import Handle, Subscription
from streams.topics import Topic


class Listening:
    """A consumer's reading of a topic; it begins with the first step.

    Who does not hold the lease never steps, and so takes no partition of the group.
    """

    def __init__(
        self, here: Installation, topic: Topic, *, consumer: str, owner: str, handle: Handle
    ) -> None:
        self._here = here
        self._topic = topic
        self._consumer = consumer
        self._owner = owner
        self._handle = handle
        self._heard: Subscription | None = None

    def step(self) -> bool:
        """Takes what is there; whether there was anything."""
        if self._heard is None:
            here = self._here
            self._heard = Subscription(
                here.log, here.engine, topic=self._topic.name, consumer=self._consumer,
                owner=self._owner, clock=here.clock, handle=self._handle,
            )  # fmt: skip
        return self._heard.step() > 0

    def close(self) -> None:
        if self._heard is not None:
            self._heard.close()
