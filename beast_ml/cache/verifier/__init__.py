"""The verifier: whether a cached answer may be served for a request that only looks like the one it was made for.

A model scores a pair of texts (`pairs`, `verifier`); a threshold on its scores is chosen so that wrong answers stay
below a share of all lookups (`risk`), and moves with verified hits (`online`).
"""
