"""Print all tables on scale: stages up to a million photos, data stages on a cluster, training in several processes.

\b
    pip install --no-deps -r requirements-beam.lock
    python benchmarks/scale.py all --photos ../shared/photos --folder scale
    python benchmarks/scale.py stages --help      # one of them
"""

import sys
from pathlib import Path

import click

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the library beside this file, whatever is installed

from benchmarks import scale_data, scale_stages, scale_training
from depixel.base.console import PlainGroup


@click.group(cls=PlainGroup, help=__doc__, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    pass


main.add_command(scale_stages.main)
main.add_command(scale_data.main)
main.add_command(scale_training.main)


@main.command("all")
@click.option("--photos", required=True, type=click.Path(exists=True, path_type=Path), help="Contributors' ZIPs.")
@click.option("--folder", required=True, type=click.Path(path_type=Path), help="For all files; 10 GB for a million.")
@click.pass_context
def everything(context: click.Context, photos: Path, folder: Path) -> None:
    """Print all three tables, with their default options."""
    context.invoke(scale_stages.main, photos=photos, folder=folder)
    context.invoke(scale_data.main, photos=photos)
    context.invoke(scale_training.main)


if __name__ == "__main__":
    main()
