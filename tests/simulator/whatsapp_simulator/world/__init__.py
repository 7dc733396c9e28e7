"""The state of the simulated network: people, their phones and linked devices, groups, channels and files."""
