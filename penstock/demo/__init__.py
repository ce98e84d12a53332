"""What `make demo` runs: a small service on the ordinary client."""
