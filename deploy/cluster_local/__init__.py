"""The roles of docker-compose.yml on this machine without containers; see `make cluster`."""
