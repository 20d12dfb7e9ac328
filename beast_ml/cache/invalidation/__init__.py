"""Taking answers back: what was invalidated is not served again, by any worker on any host.

    scopes, bans -> store (SQL or Valkey, the truth) -> invalidator (polls, appends) -> table (asked at each lookup)

`store` says how all this works without trusting a clock, and what happens when the store is lost.
"""
