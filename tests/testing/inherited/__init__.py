"""A host whose user and course models inherit from others, with required fields."""
