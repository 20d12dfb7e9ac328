"""One thread a test process: the networks here are too small for two, and waiting for a second one costs more."""

import os

# Read by OpenMP when torch or numpy is first imported, so before anything else.
os.environ.setdefault("OMP_NUM_THREADS", "1")
