"""What people read: the report, the model card, plots, looks inside a model."""
