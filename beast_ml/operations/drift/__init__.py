"""Whether requests, predictions and outcomes are still what they were: streaming detectors with a stated alarm rate."""
