"""What people see and click, in a real browser against the example project."""
