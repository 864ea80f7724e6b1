"""Games played by language models; every heavy package loads with the module that needs it."""
