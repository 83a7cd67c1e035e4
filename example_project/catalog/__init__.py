"""What the example project's schools teach, and when."""
