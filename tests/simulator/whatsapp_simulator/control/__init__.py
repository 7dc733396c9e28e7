"""The control API, through which people and tests control the phones."""
