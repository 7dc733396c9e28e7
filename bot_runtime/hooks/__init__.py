"""What a bot does about messages by itself, each a handler (see `inbound/receiver.py`) behind a setting."""
