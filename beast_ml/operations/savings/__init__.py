"""Which switches of model, floor, cache, budget or price would save how much at what quality, from the log itself."""
