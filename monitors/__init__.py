"""Drift, data quality and performance of what is in production, and the alerts about them."""
