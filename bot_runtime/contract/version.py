"""The version of Botdock, its only source: `pyproject.toml`, the images and both programs read it from here."""

VERSION = "0.1.0"
