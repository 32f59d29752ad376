from depixel.areas.area import Area as Area
from depixel.base.errors import DepixelError as DepixelError
from depixel.detection.search import find as find
from depixel.pictures.pixels import pixelate as pixelate
from depixel.pictures.restorer import Restorer as Restorer

__all__ = ["Area", "DepixelError", "Restorer", "find", "pixelate"]

IMPORTED: int
