"""Documents for people: the report, the model card, plots, and views into a model."""
