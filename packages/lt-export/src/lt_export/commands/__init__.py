"""One module a command, with its options and what it does; each imports what is heavy when it runs."""
