"""Files that a user may have and no reader may trust, as scripts that make them, with what must be said of each."""
