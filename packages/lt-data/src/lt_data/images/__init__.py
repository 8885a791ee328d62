"""From a file, URL or image object to pixels."""
