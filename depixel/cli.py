"""The `depixel` command: its commands, in the sections of its help. Each imports what it needs when it runs."""

import click

from depixel.base.console import PlainGroup, with_help
from depixel.commands import (
    bundle,
    challenge,
    experiments,
    inspection,
    models,
    organiser,
    photos,
    pictures,
    project,
    snapshots,
)


def _print_version(context: click.Context, parameter: click.Parameter, asked: bool) -> None:
    """Print the version of depixel and the models that --model takes here, and exit."""
    if not asked or context.resilient_parsing:
        return
    from importlib.metadata import version

    click.echo(f"depixel, version {version('depixel')}")
    if published := [name for name in models.model_names() if name in models.PUBLISHED]:
        cards = " and ".join(f"models/{name}.md" for name in published)
        click.echo(
            f"published models: {', '.join(published)}. The weights are under the MIT license. The photos they were "
            f"trained on keep their own terms: see {cards}"
        )
    else:
        click.echo("published models: none are here; in a clone of the project, `dvc pull` fetches them")
    if own := models.own_models():
        click.echo(f"your own models: {', '.join(own)}")
    context.exit()


@click.group(cls=PlainGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the version and the models that are here.",
)
def main() -> None:
    """Restore pixelated areas of pictures, and train the models that do it.

    Start with `depixel restore photo.png -o restored.png --auto`. `depixel COMMAND --help` explains a command and shows
    examples. `dvc repro` runs the pipeline that trains a model on a folder of photos.
    """


main.add_section("Pictures", pictures.restore, pictures.pixelate, pictures.serve, pictures.audit, pictures.export_model)
main.add_section(
    "Photos",
    *(photos.sample, photos.datasets, photos.fetch, photos.analyze, photos.suggest),
    *(snapshots.snapshots, snapshots.snapshot, snapshots.diff),
)
main.add_section(
    "Experiments",
    *(experiments.preset, experiments.sweep, experiments.seeds, experiments.list_experiments, experiments.compare),
    *(experiments.baselines, experiments.crossvalidate, experiments.record, experiments.report),
    *(bundle.bundle, inspection.inspect),
)
main.add_section("Challenge", challenge.predict, challenge.check, challenge.score, organiser.challenge)
main.add_section("Project", project.doctor, project.mend)
with_help(main)

if __name__ == "__main__":
    main()
