"""Arrays of any namespace: zeros, simplices, roots, small convex programs. Knows no game."""
