"""NeMo-RL: settings, the environment."""
