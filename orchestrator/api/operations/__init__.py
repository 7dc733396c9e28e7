"""Probes, the overview and metrics."""
