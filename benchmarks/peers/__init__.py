"""What a user would pick instead, trained on the same work: one driver a peer, each in an environment of its own.

`install` makes the environments, `job` says what the work is and how it is judged, the other files are drivers: they
run under the peer's own interpreter and know nothing of this project but `job`. `ours` is the same for us.
"""
