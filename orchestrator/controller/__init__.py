"""The controller process: leadership, notifications, its HTTP port, and what it runs while it leads."""
