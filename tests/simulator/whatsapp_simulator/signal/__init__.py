"""The Signal protocol (version 3) of the simulated phones: X3DH, the double ratchet and sender keys."""
