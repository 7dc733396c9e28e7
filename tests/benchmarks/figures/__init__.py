"""One module per figure; each yields the rows of its part of the table."""
