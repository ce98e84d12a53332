"""Tells Penstock what a model answered, without ever making the service wait."""

from .client import Client
from .events import Assignment
from .limits import Limits
from .predicting import Predicting
from .stats import Stats

__all__ = ["Assignment", "Client", "Limits", "Predicting", "Stats"]
