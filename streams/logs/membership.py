"""Whether a member of a group knows what it has: its own belief beside the coordinator's word.

A client may fall out of touch and live on: it joined, was given partitions, did not notice, and
nobody read them. Nothing fails then, wherever such a client lost the thread.
"""

import time
from collections.abc import Callable

from kafka import KafkaAdminClient

from streams.errors import UnavailableError
from streams.logs.kafka_cluster import Cluster, answering

ASK_S = 5.0  # how often the coordinator is asked
BELATED_S = 15.0  # how long the two may differ: a new member needs some seconds to take up its own
SETTLED = ("Stable", "Empty", "Dead")  # in between nobody has anything


def given(
    admin: KafkaAdminClient, cluster: Cluster, *, topic: str, group: str
) -> frozenset[int] | None:
    """The partitions that the coordinator has for this worker; None while it decides.

    Raises UnavailableError when it does not answer.
    """
    name = cluster.topic(group)
    with answering(f"describe the group {group}"):
        told = admin.describe_groups([name])[name]
    if told["group_state"] not in SETTLED:
        return None
    return frozenset(
        partition
        for member in told["members"]
        if member["group_instance_id"] == cluster.worker
        for place in member["member_assignment"]["assigned_partitions"]
        if place["topic"] == cluster.topic(topic)
        for partition in place["partitions"]
    )


class Membership:
    """Compares what a member believes with what `told` returns, which is `given`."""

    def __init__(self, told: Callable[[], frozenset[int] | None]) -> None:
        self._told = told
        self.joins()

    def joins(self) -> None:
        """A client has just begun, and has its time to join and to take up what it is given."""
        self._ask_at = time.monotonic() + ASK_S
        self._differs_since: float | None = None

    def check(self, believed: frozenset[int]) -> None:
        """Raises UnavailableError once the two have differed for `BELATED_S`."""
        now = time.monotonic()
        if now < self._ask_at:
            return
        self._ask_at = now + ASK_S
        try:
            told = self._told()
        except UnavailableError:
            told = None
        if told is None or told == believed:
            self._differs_since = None
            return
        self._differs_since = self._differs_since or now
        if now - self._differs_since >= BELATED_S:
            raise UnavailableError(
                "this member is out of touch with its group",
                why=f"it has partitions {sorted(told)}, and holds {sorted(believed)}",
                fix="it joins anew",
            )
