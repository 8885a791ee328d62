"""The sections of a report: each a function from the data to its markup."""
