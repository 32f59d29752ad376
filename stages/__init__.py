"""The stages of the pipeline, one script per stage: `python -m stages.train`, or `python stages/train.py`."""
