"""WhatsApp through neonize: the connection's state machine, its driver, and the binding to neonize's Go library."""
