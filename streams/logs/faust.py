"""The log on a Kafka cluster with Faust as the host of its groups' readers.

Faust joins the group and fetches. Topics, appending and bounds are kafka-python's, as are readers
without a group, which Faust does not have.
"""

from streams.logs.base import Reader, TopicState
from streams.logs.faust_reader import FaustReader
from streams.logs.kafka import KafkaLog


class FaustLog(KafkaLog):
    """A `KafkaLog` whose readers of a group are Faust apps."""

    def _grouped(self, state: TopicState, group: str) -> Reader:
        return FaustReader(self._cluster, self, state, group=group)
