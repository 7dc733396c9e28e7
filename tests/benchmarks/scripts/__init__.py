"""Programs that are measured in processes of their own: the baselines and a peer. Each is self-contained."""
