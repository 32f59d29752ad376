"""Picture files: read with all that is in them, and written back with it.

`kinds` says which formats there are, `reading` and `writing` know what is in them.
"""

from depixel.pictures.conversion import as_format
from depixel.pictures.picture import Picture
from depixel.pictures.reading import decoded, read
from depixel.pictures.writing import encoded, write

__all__ = ["Picture", "as_format", "decoded", "encoded", "read", "write"]
