"""Performance figures, each measured beside its baseline (`make bench`). Not tests."""
