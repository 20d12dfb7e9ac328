"""From the files of public repositories to outcome tables: one file per origin.

Every converter takes the downloaded files by name and returns rows in the columns of the outcome table.
"""
