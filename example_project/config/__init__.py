"""Settings and URLs of the example project."""
