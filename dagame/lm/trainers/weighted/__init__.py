"""Fine-tuning with a weight for every row: TRL's trainers for completions (SFT) and pairs (DPO)."""
