"""
Tests that check a project: its settings, models, backends, receivers and database.

Run them with the settings of the project::

    pytest --pyargs django_enrollments.testing.conformance --ds mysite.settings
"""
