"""The people of the example project."""
