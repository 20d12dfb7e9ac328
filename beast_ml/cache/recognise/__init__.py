"""What a request's words say about whether its answer may be served again.

    text -> instruction -> language | personal | time_bound

Each recogniser is a handful of patterns for English, written to miss little rather than to flag little: a request that
is flagged for nothing costs one answer, one that is missed serves a stranger's or a stale one.
"""
