"""Tells Penstock what a model answered, without making the service wait."""

from .client import Client
from .events import Assignment
from .limits import Limits
from .predicting import Predicting
from .reviews import Review
from .stats import Stats

__all__ = ["Assignment", "Client", "Limits", "Predicting", "Review", "Stats"]
