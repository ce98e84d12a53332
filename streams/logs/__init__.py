"""Durable, partitioned logs behind one small protocol (`base.Log`)."""
