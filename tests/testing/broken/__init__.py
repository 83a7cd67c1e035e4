"""A host with faults, of which each test of the kit chooses one."""
