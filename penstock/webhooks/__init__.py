"""Decisions by HTTP, to whoever asked for them: signed, at least once (Standard Webhooks)."""
