"""HTTP: ingest, health, metrics."""
