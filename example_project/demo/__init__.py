"""Replays what happened at a real university, and shows the result."""
