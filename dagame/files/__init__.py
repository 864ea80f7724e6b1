"""Files written whole or not at all, and YAML read into typed fields."""
