"""Stage 0: check the settings of all stages, before the first of them spends any time."""

import click

from depixel.analysis import AnalyzeSettings
from depixel.challenge import ExportSettings
from depixel.command import params_option, told_plainly
from depixel.evaluation import EvaluateSettings
from depixel.pixelation import PixelationSettings
from depixel.preparation import PrepareSettings
from depixel.restoration import PredictSettings
from depixel.settings import read_section
from depixel.splits import SplitSettings
from depixel.training import TrainSettings

MODELS = {
    "prepare": PrepareSettings,
    "split": SplitSettings,
    "analyze": AnalyzeSettings,
    "pixelation": PixelationSettings,
    "train": TrainSettings,
    "predict": PredictSettings,
    "evaluate": EvaluateSettings,
    "export": ExportSettings,
}


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@params_option
@told_plainly
def main(params: str) -> None:
    """Check the settings of all stages, before the first of them spends any time.

    Each stage checks its own settings too; this one keeps a misspelt key of the last stage from being found after hours
    of training. It writes nothing.

    \b
    Example
      python stages/settings.py
    """
    for name, model in MODELS.items():
        read_section(params, name, model)


if __name__ == "__main__":
    main()
