"""``manage.py demo``: replays the registrations of a real university."""
