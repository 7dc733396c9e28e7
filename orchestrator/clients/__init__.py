"""HTTP clients of the bots' endpoint and of the controller's HTTP port."""
