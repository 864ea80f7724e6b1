"""What draws completions: transformers in this process, a server, or vLLM, behind one interface."""
