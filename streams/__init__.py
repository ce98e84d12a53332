"""Events in, facts out: codec, log, ledger, and the one pass that counts everything once."""
