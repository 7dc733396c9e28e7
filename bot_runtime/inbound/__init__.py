"""What arrives from others: recorded once, then handled, chat by chat."""
