"""What a cluster keeps when it is hit again and again, and what a worker costs in the long run."""
