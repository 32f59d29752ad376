"""The section of the report on the training: curves, facts, and calibration of the expected errors."""

import json

import pandas as pd

from depixel.base import layout
from depixel.base.files import read_json
from depixel.model.networks import parameter_count
from depixel.model.predictor import Predictor
from depixel.reports import parts, plots
from depixel.reports.parts import Section

LOG = layout.LOGS / "training.json"


def section() -> Section:
    """Curves, facts and calibration of the training of the model in the current folder."""
    table = parts.read_table(layout.METRICS / "training.csv")
    best = read_json(layout.METRICS / "training.json")
    lines = {
        "train_rmse": "training, pooled",
        "validation_rmse_pooled": "validation, pooled",
        "validation_rmse_mean": "validation, mean",
    }
    model = Predictor.load(layout.MODEL, "cpu")
    log = json.loads(LOG.read_text(encoding="utf-8")) if LOG.is_file() else {}
    configuration = model.configuration
    facts = {
        "network": f"{configuration.network} of width {configuration.width}, "
        f"{parameter_count(model.network) / 1e6:.2f} M parameters",
        "best epoch": f"{best['best_epoch']} of {len(table)}, validation RMSE {best['validation_rmse']:.3f}",
        "arithmetic": f"{configuration.arithmetic} {configuration.precision} {configuration.hardware}".rstrip(),
    }
    if log.get("validation_rmse") == best["validation_rmse"]:  # else the log belongs to a later experiment
        on = f" on {log['hardware']}" if "hardware" in log else ""
        facts["speed here"] = f"{log['samples_per_second']:.0f} samples/s, {log['memory_bytes'] / 1e9:.2f} GB{on}"
        facts["trained by"] = log.get("processes", "1 process")
    calibration = layout.METRICS / "calibration.csv"
    sure = parts.read_table(calibration) if calibration.is_file() else pd.DataFrame()
    return {
        "plot": parts.svg(plots.curves(table, lines, "training")),
        "others": [
            parts.svg(plots.curve(table, column, label, column))
            for column, label in (("learning_rate", "learning rate"), ("gradient_norm", "gradient norm"))
        ],
        "facts": facts,
        "calibration": _calibration(sure) if len(sure) else None,
    }


def _calibration(table: pd.DataFrame) -> Section:
    """Calibration of the network's expected errors: sentences, and a plot of the classes of pixels."""
    classes, whole = table[table["class"] != "all"], table[table["class"] == "all"].iloc[0]
    expected, observed = whole["expected_rmse"], whole["observed_rmse"]
    ratio = observed / expected
    verdict = "overconfident" if ratio > 1.05 else "too cautious" if ratio < 0.95 else "well calibrated"
    return {
        "told": f"Over all pixels the network expected an RMSE of {expected:.2f}; the observed RMSE is {observed:.2f}, "
        f"so it is {verdict}. The error of {100 * whole['within_1']:.0f} % of the pixels is at most the expected one, "
        f"and of {100 * whole['within_2']:.0f} % at most twice that (68 % and 95 % for normally distributed errors).",
        "plot": parts.svg(plots.calibration(classes, "calibration")),
    }
