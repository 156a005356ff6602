"""What other teams find: the dataset and the model with their cards, and the report of a run."""
