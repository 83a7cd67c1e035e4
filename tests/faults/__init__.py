"""
The database after a failure in the middle of an operation.

The history adds up to the rows, every operation is complete or was not made at all,
capacities are kept, and no lock is left.
"""
