"""The log on a Kafka cluster with Faust as the host of its groups' readers.

Faust joins the group and fetches. Topics, appending and bounds are kafka-python's, as are readers
without a group, which Faust does not have.
"""

from contextlib import suppress

from streams.errors import UnavailableError
from streams.logs.base import Reader, TopicState
from streams.logs.faust_reader import FaustReader
from streams.logs.kafka import KafkaLog
from streams.logs.kafka_cluster import answering
from streams.logs.membership import Membership, given


class FaustLog(KafkaLog):
    """A `KafkaLog` whose readers of a group are Faust apps."""

    def _grouped(self, state: TopicState, group: str) -> Reader:
        # Where it may not join, Faust waits for ever; where there is no coordinator yet, for that.
        with suppress(UnavailableError), answering(f"join the group {group}"):
            self._admin().list_group_offsets(self._cluster.topic(group))

        def told() -> frozenset[int] | None:
            return given(self._admin(), self._cluster, topic=state.name, group=group)

        return FaustReader(self._cluster, self, state, group=group, membership=Membership(told))
