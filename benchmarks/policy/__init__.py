"""What the whole policy of a rollout costs and keeps, on simulated traffic through the product."""
