"""Engines: what carries tasks out side by side. Answers depend neither on which one nor on number, order or retries."""
