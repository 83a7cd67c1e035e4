"""Pages of course teams, and the dashboard of staff."""
