"""The scorecard: every target of the roadmap, measured here and now, beside the ceiling that the data allow."""
