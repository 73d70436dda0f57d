"""Work: the verbs as jobs that run by themselves, once, and survive whatever happens."""
