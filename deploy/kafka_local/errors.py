"""What may go wrong with a broker of one's own."""


class BrokerError(Exception):
    """It does not start, does not answer, or its folder is not to be used."""


class MissingError(BrokerError):
    """This machine lacks something; the message says how to get it."""
