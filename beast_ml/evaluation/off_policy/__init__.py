"""What a policy that never ran would have got, from a log of one that did: estimates, intervals, and a verdict."""
