"""Both brokers, held to one contract."""
