"""Text, tables and pictures for terminals, notebooks and pages. Knows no game."""
