"""
The rules of enrolling, and the only code that changes an enrollment.

Nothing here reads the clock or a request: ``at`` and ``origin`` are arguments.
"""
