"""A small service that runs as many instances, and the queue in front of it."""
