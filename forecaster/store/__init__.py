"""The store: one SQL database, the operational truth. Append-only where history matters."""
