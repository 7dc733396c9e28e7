"""Brings the running containers to the desired state: facts are observed, decisions are pure, the engine acts."""
