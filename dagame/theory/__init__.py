"""The theorems as checks, rewards classified, and the atlas of published methods."""
