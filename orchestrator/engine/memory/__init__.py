"""An engine in memory, for fast tests and simulation."""
