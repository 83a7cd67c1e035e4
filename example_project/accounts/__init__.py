"""The users of the example project."""
