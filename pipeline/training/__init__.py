"""LoRA fine-tuning of an encoder with the AnglE objectives."""
