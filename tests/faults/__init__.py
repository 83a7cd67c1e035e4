"""
What is left when something fails in the middle of an operation.

Whatever failed, the history must fold to the rows, every operation must have happened
whole or not at all, seats must hold, and nobody may wait for who is gone.
"""
