"""Postgres: the tables, their migrations, sessions and notifications."""
