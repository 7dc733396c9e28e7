"""Commands for operators that do one thing and end."""
