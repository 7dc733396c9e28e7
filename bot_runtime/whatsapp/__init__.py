"""WhatsApp through neonize: the connection's state machine and driver, and the binding to neonize's Go library."""
