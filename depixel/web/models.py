"""The models that the page offers: loaded when one is first chosen, with the speed that was measured here."""

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import PurePath

import numpy as np
from pydantic import BaseModel, Field

from depixel.base.errors import DepixelError
from depixel.base.spelling import suggestion
from depixel.pictures.restorer import Model, Restorer

ABOUT = {"laptop": "quick", "best": "lowest errors, slower"}
"""What people are told of the models that the project publishes."""
_COST = {"laptop": 1.0, "best": 5.6}  # times as long, by docs/measured.md; until both were measured here
_PROBE = (8, 64, 64)  # windows with which the speed of a model is measured first
_LEAST_SECONDS = 0.02  # a shorter measurement says little


class OfferedModel(BaseModel):
    """A model that a restoration may choose."""

    name: str = Field(description="as the parameter `model` takes it")
    about: str = Field(description="for people")
    seconds_per_megapixel: float | None = Field(
        description="time of a restoration in one view, for each megapixel of area and surroundings, as measured here; "
        "null: not yet known"
    )


class Models:
    """The models of one server, by name. Several threads may use it at once."""

    def __init__(self, models: Sequence[str], load: Callable[[str], Restorer] = Restorer.load):
        """`models`: names and paths, as --model takes them; the first is the default. `load`: loads one of them."""
        self._paths: dict[str, str] = {}
        for model in models:
            name = PurePath(model).stem or model
            self._paths.setdefault(model if name in self._paths else name, model)
        self._load = load
        self._loaded: dict[str, Restorer] = {}
        self._seconds: dict[str, float] = {}
        self._lock = threading.Lock()

    def named(self, name: str | None = None) -> tuple[str, Restorer]:
        """The model of this name, and its name; None: the default. It is loaded if it is not yet.

        Raises:
            DepixelError: there is none of this name, or it cannot be loaded.
        """
        known = name if name is not None else next(iter(self._paths))
        if known not in self._paths:
            raise DepixelError(
                f"model: {known!r} is not offered here, only {', '.join(self._paths)}.{suggestion(known, self._paths)}"
            )
        with self._lock:
            if known not in self._loaded:
                self._loaded[known] = self._load(self._paths[known])
            return known, self._loaded[known]

    def probe(self) -> None:
        """Load the default model, and measure its speed with a few windows.

        Raises:
            DepixelError: it cannot be loaded.
        """
        name, restorer = self.named()
        model: Model = restorer.model
        windows = np.random.default_rng(0).uniform(0, 255, _PROBE).astype(np.float32)
        areas = np.array([[16, 16, 32, 32, 8, 0, 0]] * _PROBE[0])
        model.predict_windows(windows, areas)  # the first call prepares much
        begin = time.perf_counter()
        model.predict_windows(windows, areas)
        self._seconds.setdefault(name, (time.perf_counter() - begin) / windows.size * 1e6)

    def measured(self, name: str, pixels: int, seconds: float) -> None:
        """Note how long a model took for a number of pixels, each counted once a view."""
        if seconds > _LEAST_SECONDS and pixels:
            now, before = 1e6 * seconds / pixels, self._seconds.get(name)
            self._seconds[name] = now if before is None else (before + now) / 2

    def offered(self) -> list[OfferedModel]:
        """All models, the default first."""
        return [
            OfferedModel(name=name, about=ABOUT.get(name, "your own"), seconds_per_megapixel=self._expected(name))
            for name in self._paths
        ]

    def _expected(self, name: str) -> float | None:
        if name in self._seconds or name not in _COST:
            return self._seconds.get(name)
        like = next((one for one in _COST if one in self._seconds), None)
        return None if like is None else self._seconds[like] * _COST[name] / _COST[like]
