"""The game: its four moves, exact tables, certificates, solutions, reference and random games."""
