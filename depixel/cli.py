"""The `depixel` command: what can be done without the pipeline. Each command imports what it needs when it runs."""

import click

from depixel.base.console import PlainGroup, with_help
from depixel.commands import challenge, experiments, inspection, organiser, photos, pictures, project, snapshots


@click.group(cls=PlainGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="depixel")
def main() -> None:
    """Restore the pixelated areas of images.

    The pipeline that makes a model out of a folder of photos is run by `dvc repro`. The commands here restore
    pictures, use the model and the files of the Image Depixelation Challenge, and tell differences between models from
    luck:

    \b
      depixel restore photo.png -o restored          restore the pixelated areas of pictures
      depixel pixelate photo.png -o pixelated        pixelate areas of pictures
      depixel serve                                  the same in a browser, on this machine only
      depixel audit --help                           how much would blocks of some size hide?
      depixel sample data/raw                        make photos to try everything out with
      depixel datasets                               public collections of photos
      depixel fetch imagenette                       bring one of them into data/raw
      depixel predict test_set.pkl -o answer.bin     restore a test set: the submission for it
      depixel export-model laptop -o laptop.onnx     a model as ONNX: for other programs, and to start faster
      depixel check answer.bin test_set.pkl          would a server take the submission?
      depixel score answer.bin targets.npz           its error, where the true pixels are known
      depixel challenge --help                       run a challenge with a leaderboard, or submit to one
      depixel compare main                           is the model here better than that of main?
      depixel seeds 5                                how much do scores differ from seed to seed?
      depixel report                                 what the last run reached, as a page for people
      depixel preset debug                           settings for a first try, a notebook or a GPU
      depixel sweep width -S train.width=16,32,48    an experiment for each of many settings
      depixel experiments                            all experiments here, the best first
      depixel record width-width=32                  keep its scores in a tracked table
      depixel snapshots                              which named states of the photos there are
      depixel snapshot use v1                        make one of them the photos here; or publish a new one
      depixel diff v1 v2                             which photos came, went, were replaced
      depixel analyze photos -o findings             what photos are like, and which are odd
      depixel inspect attribution PHOTO -o why.png   which pixels around an area mattered
      depixel suggest FOLDER                         which of these photos the model would learn most from
      depixel doctor                                 is everything in order, and if not, what mends it?
      depixel mend                                   DVC was killed and says that its files are corrupted

    `depixel COMMAND --help` says more about each.
    """


for command in (
    *(pictures.restore, pictures.pixelate, pictures.serve, pictures.audit, pictures.export_model),
    *(challenge.predict, challenge.check, challenge.score, organiser.challenge),
    *(photos.sample, photos.datasets, photos.fetch, photos.analyze, photos.suggest),
    *(snapshots.snapshots, snapshots.snapshot, snapshots.diff),
    *(experiments.compare, experiments.seeds, experiments.preset, experiments.sweep, experiments.record),
    *(experiments.list_experiments, experiments.report, inspection.inspect, project.doctor, project.mend),
):
    main.add_command(command)
with_help(main)

if __name__ == "__main__":
    main()
