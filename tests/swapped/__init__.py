"""Collaborators that a host wrote knowing nothing but the contract."""
