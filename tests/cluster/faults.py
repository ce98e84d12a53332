"""Faults of a real PostgreSQL, drawn by lot: the product's own code meets the server's own errors.

A transaction that moves a position fails with chance `share`: where the position is written, or
only at COMMIT. The lot is the transaction's, so that one over many partitions is no likelier to
fail, and one that is tried again draws anew.
"""

from sqlalchemy import Connection, text

STATES = ("40001", "40P01", "55P03", "57014", "53200", "57P01")
"""Serialization failure, deadlock, lock and statement time-outs, out of memory, and the end of the
session by an administrator, which is a real one: the connection is gone with it."""

_FAULT = """
CREATE SEQUENCE fault_drawn;  -- what it counts outlives the transactions that fail
CREATE FUNCTION draw_fault() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  lot int := abs(hashint8(txid_current()) % 10000);
  states text[] := ARRAY[{states}];
  state text := states[1 + abs(hashint8(txid_current() + 1) % array_length(states, 1))];
BEGIN
  IF lot < {below} AND lot % 2 = TG_ARGV[0]::int THEN
    PERFORM nextval('fault_drawn');
    IF state = '57P01' THEN
      PERFORM pg_terminate_backend(pg_backend_pid());
    ELSE
      RAISE EXCEPTION 'injected' USING ERRCODE = state;
    END IF;
  END IF;
  RETURN NULL;
END $$;
"""
_AT_THE_ROW = """
CREATE TRIGGER fault_at_the_row AFTER UPDATE ON position
   FOR EACH ROW EXECUTE FUNCTION draw_fault('0');
"""
_AT_COMMIT = """
CREATE CONSTRAINT TRIGGER fault_at_commit AFTER UPDATE ON position
   DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION draw_fault('1');
"""


def inject(connection: Connection, *, share: float) -> None:
    """From now on this share of the transactions that move a position fail."""
    states = ", ".join(f"'{state}'" for state in STATES)
    connection.execute(text(_FAULT.format(states=states, below=round(share * 10_000))))
    connection.execute(text(_AT_THE_ROW))
    connection.execute(text(_AT_COMMIT))


def drawn(connection: Connection) -> int:
    """How many transactions have failed so, roughly: a crash of the server may skip some."""
    return int(connection.execute(text("SELECT last_value FROM fault_drawn")).scalar_one())
