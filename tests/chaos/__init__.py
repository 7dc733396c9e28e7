"""Faults at random under traffic, and then an account of every message."""
