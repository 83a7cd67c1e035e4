"""A host that keeps users, courses and enrollments in its second database."""
