"""What is done to things, and when: one verb a file, and the command line."""
