"""Where entries are kept: in memory, in Valkey or Redis, in SQL. Each passes one conformance suite."""
