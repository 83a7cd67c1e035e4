"""Course enrollments for any Django project: correct, concurrent, pluggable."""

__version__ = "0.1.0"
