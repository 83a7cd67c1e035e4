"""The formats of dates and numbers that differ from those of Django."""
