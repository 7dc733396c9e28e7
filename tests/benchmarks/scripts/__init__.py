"""Programs that are measured in processes of their own: the floors and a peer. Each stands alone."""
