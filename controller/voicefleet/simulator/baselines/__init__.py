"""Other systems' scaling policies, one file each, in the same world as ours; `catalogue` lists them by name."""
