"""The REST API: writes what is wanted, answers from Postgres, never touches Docker."""
