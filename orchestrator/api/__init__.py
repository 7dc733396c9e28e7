"""The REST API: writes the desired state, reads from Postgres, never uses Docker."""
