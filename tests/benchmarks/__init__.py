"""The figures to reach, each measured side by side with its floor (`make bench`); no tests."""
