"""TRL: the reward function, its settings, the trainer."""
