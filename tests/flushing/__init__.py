"""An app whose ``flush`` is quick where tables have few rows, as after a test."""
