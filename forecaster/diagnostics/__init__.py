"""What a trained family shows of itself: what it reads, how far back, and whether it says how sure it is.

    look inside (torch):                   `gradient`, `attention`, `gates`, `lags`
    ask, and watch the answer (numpy):     `sensitivity` of `tampering`, by `groups` of channels; `memory`; `pit`

Those that only ask work for every family, through its artifact. All are given their origins by the caller: training or
validation ones, never the test years, for what is read off them leads to the next model. (`pit` is a score: it may be
asked about any origins that scores may.)

Nothing is imported here, so that asking does not wake torch.
"""
