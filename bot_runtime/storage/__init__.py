"""What a bot stores on its volume: session directory, configuration, spool of events, journal of arrivals."""
