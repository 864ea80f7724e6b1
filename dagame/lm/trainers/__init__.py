"""Trainers as adapters of one `LMGame`, and the rules that their settings must keep."""
