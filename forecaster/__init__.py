"""What things are: contract, time, data at rest, families, training, scores, artifacts, and the store."""

__version__ = "0.1.0"
