"""Mathematical text as exact values: scanner, reader, forms, and the arithmetic below them."""
