"""Probes, the fleet overview and metrics."""
