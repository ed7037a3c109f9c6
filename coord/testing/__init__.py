"""Tools for testing coordination: real servers, virtual time, and faults on demand."""
