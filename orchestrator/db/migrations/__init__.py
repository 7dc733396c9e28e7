"""Alembic's migrations of the tables in `orchestrator/db/models.py`; run by `python -m orchestrator migrate`."""
