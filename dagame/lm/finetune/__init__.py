"""`dagame finetune`: one YAML file -> a trained model, its metrics and its card."""
