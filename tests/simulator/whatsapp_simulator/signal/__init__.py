"""The Signal protocol (version 3) as the simulated phones speak it: X3DH and the double ratchet."""
