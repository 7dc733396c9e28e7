"""Brings the running containers to the desired state: observe, decide, act through the engine."""
