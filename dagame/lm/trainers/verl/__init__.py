"""verl: advantages, settings, the plug-in."""
