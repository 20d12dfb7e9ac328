"""`python -m beast_ml.cli`: the same as `beast`."""

from beast_ml.cli.main import run

run()
