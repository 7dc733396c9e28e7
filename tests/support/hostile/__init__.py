"""A hostile runtime: what a compromised bot could answer, served in a process or in a container."""
