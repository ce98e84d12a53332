"""Pure statistics: counts in, verdict numbers out. No I/O, clock or randomness."""
