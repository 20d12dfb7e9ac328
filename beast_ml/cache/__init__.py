"""The semantic cache: answers given before, served again only where that is right.

    request -> key -> tiers (exact, normalised) -> index -> verifier -> hit | miss

`key` says when two requests are the same, `entry` what is kept of an answer, `tiers` where it is kept, `index` which
entries are near a request, `verifier` whether a near one's answer is right for it, at a false-hit rate that the user
sets. Nothing here knows of HTTP or MLflow.
"""
