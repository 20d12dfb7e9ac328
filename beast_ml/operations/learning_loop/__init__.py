"""The loop that improves the router: it learns from the log, proves, tries, promotes, watches, and takes back."""
