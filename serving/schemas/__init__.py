"""What the service is asked and answers, with units."""
