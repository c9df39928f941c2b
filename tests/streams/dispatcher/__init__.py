"""The dispatcher, piece by piece and whole."""
