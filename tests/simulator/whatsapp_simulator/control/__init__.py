"""The control API: with it a person or a test plays the phones."""
