"""Plans, kept and run: SQL against the pool, actions against their handlers."""
