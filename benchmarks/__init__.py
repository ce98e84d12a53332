"""Speed, measured against a peer or the raw limit in the same run."""
