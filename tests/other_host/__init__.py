"""A host whose people log in by e-mail and whose courses are seminars."""
