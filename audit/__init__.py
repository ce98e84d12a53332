"""Sampled human audits, bad cases, labeling, datasets and retraining."""
