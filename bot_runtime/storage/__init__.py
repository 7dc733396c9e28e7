"""What a bot stores on its volume: session directory, configuration, event spool, journal of arrivals."""
