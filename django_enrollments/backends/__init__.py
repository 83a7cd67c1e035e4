"""What a host may swap by a setting, with the implementations that are shipped."""
