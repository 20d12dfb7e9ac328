"""What learning from logs gains, and whether its statistics keep what they promise."""
