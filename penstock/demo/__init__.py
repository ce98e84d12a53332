"""`make demo`: a small service on the client, watched by a Penstock of its own.

Processes: the telling (`telling`), `penstock up` (`up`) and the service (`service`), each of
which may be killed and started again. What happens to each request is written in `script`; what
the service did is in its own `journal`; `summary` holds the journal against what Penstock counted.
"""
