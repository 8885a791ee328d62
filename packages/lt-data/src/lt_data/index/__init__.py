"""Which samples there are: folders in, compact arrays out."""
