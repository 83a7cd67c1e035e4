"""A host whose users have numbers for names."""
