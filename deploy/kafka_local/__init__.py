"""A real Kafka on this machine, for development and tests; see README.md beside this file."""

from deploy.kafka_local.broker import USERS, Cluster, Options
from deploy.kafka_local.errors import BrokerError, MissingError
from deploy.kafka_local.node import Node

__all__ = ["USERS", "BrokerError", "Cluster", "MissingError", "Node", "Options"]
