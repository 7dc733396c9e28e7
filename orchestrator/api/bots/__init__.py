"""Bots: their life cycle, pairing, history, groups and media."""
