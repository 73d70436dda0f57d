"""Measurements: each module is a command that prints its figure last and exits 0 only where its bound holds."""
