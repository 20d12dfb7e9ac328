"""The load suite: a real server driven from another process, beside a bare echo in the same run."""
