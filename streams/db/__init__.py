"""The SQL store's rim: engine, leases, and the two clocks."""
