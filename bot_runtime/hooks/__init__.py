"""What a bot does about messages by itself, each a handler (see `receiving/receiver.py`) behind a setting."""
