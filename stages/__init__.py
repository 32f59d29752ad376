"""The stages of the pipeline, one script each: `python -m stages.train`, or `python stages/train.py`."""
