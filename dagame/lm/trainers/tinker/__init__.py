"""tinker-cookbook: settings, groups of environments."""
