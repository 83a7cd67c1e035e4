"""The schools and course runs of the example project."""
