"""What was spent, by whom and on what; whether the ledger agrees; what the month, other prices or policies come to."""
