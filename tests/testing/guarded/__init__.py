"""A host with object permissions by django-guardian, on its own course model."""
