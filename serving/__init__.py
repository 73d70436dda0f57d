"""The answering side: an HTTP service over the store and its artifacts."""
