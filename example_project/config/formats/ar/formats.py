"""Numbers with separators, as in the other languages."""

NUMBER_GROUPING = 3
