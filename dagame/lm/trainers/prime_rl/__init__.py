"""prime-rl: settings, the algorithm."""
