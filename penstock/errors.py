"""Errors that only the composition root raises; the tree is in `streams.errors`."""

from streams.errors import Error


class ConditionError(Error):
    """What was waited for did not come, or what must hold does not."""
