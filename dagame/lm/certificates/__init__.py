"""The duality gap of a language model, from samples."""
