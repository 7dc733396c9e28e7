"""Helpers shared by tests, benchmarks and demo: waiting for conditions, service processes, and a complete fleet."""
