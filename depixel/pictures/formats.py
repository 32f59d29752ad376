"""Picture files: reading them with their metadata, and writing them back with it.

`kinds` lists the formats; `reading` and `writing` know their contents.
"""

from depixel.pictures.conversion import as_format
from depixel.pictures.picture import Picture
from depixel.pictures.reading import decoded, read
from depixel.pictures.writing import encoded, write

__all__ = ["Picture", "as_format", "decoded", "encoded", "read", "write"]
