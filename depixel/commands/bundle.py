"""The command that packs one run for a reviewer, and checks such an archive."""

import json
from pathlib import Path

import click

from depixel.base.errors import DepixelError
from depixel.commands import options


@click.command()
@click.argument("run", required=False)
@click.option("-o", "--output", "out", type=options.path(dir_okay=False), help="The archive to write, such as run.zip.")
@click.option("--no-report", is_flag=True, help="Leave out report.html, which takes up to a minute to make.")
@click.option("--weights", is_flag=True, help="Include the weights of the model even if they exceed 10 MB.")
@click.option(
    "--check", "archive", type=options.path(dir_okay=False), help="Check this archive instead of writing one."
)
@options.force
@options.as_json
def bundle(
    run: str | None, out: Path | None, no_report: bool, weights: bool, archive: Path | None, force: bool, as_json: bool
) -> None:
    """Pack one run into a ZIP archive for a reviewer.

    RUN is the name of an experiment, or a branch, tag or commit; by default the last commit. The archive holds the
    report, the model card, settings, dvc.yaml, dvc.lock, the scores, the submission files, the model, the locked
    requirements, a README.txt that explains how to repeat the run, and a manifest.json with the SHA-256 of each file.
    The working tree does not matter. The same run gives the same bytes.

    With --check, the command verifies the SHA-256 of each file in an archive and compares the files with the commit in
    this clone. It extracts nothing. The exit code is 0 if everything agrees, otherwise 1.

    \b
    Example:
      depixel bundle -o run.zip
      depixel bundle wide -o wide.zip         an experiment
      depixel bundle --check run.zip
    """
    if archive and (run or out):
        raise click.UsageError("--check reads an archive, which names its commit. Leave out RUN and -o, or --check.")
    if archive:
        _check(archive, as_json)
        return
    if not out:
        raise click.UsageError("Missing option '-o'. Name the archive, such as -o run.zip; or check one with --check.")
    if out.suffix.lower() != ".zip":
        raise DepixelError(f"{out}: the name must end in .zip. Type -o {out.with_suffix('.zip')}")
    options.refuse_existing(out, force)
    from depixel.reports import bundle as bundles
    from depixel.versioning import uncommitted

    run = run or "HEAD"
    if run == "HEAD" and (changed := uncommitted()):
        click.echo(
            f"Not in the archive: {changed[0]}{f' and {len(changed) - 1} more' if changed[1:] else ''} differ from the "
            "last commit. Commit them first if they belong to the run.",
            err=True,
        )
    written = bundles.write(run, out, report=not no_report, weights=weights)
    size = out.stat().st_size
    if as_json:
        click.echo(json.dumps({"archive": str(out), "bytes": size, **written._asdict()}))
        return
    click.echo(f"{out}: {written.files} files, {size / 1e6:.1f} MB, of commit {written.commit[:10]}.")
    if written.changed:
        click.echo(
            f"Code or inputs of {', '.join(written.changed)} have changed since the results were made. To be "
            "sure of them, type `dvc repro` and commit.",
            err=True,
        )
    if written.left_out:
        click.echo(f"The weights of the model have {written.left_out / 1e6:.0f} MB and are left out. Add --weights.")


def _check(archive: Path, as_json: bool) -> None:
    """Print what `--check` finds; exit with 1 if anything differs."""
    from depixel.reports.bundle_check import check

    findings = check(archive)
    agrees = all(finding.agrees for finding in findings)
    if as_json:
        click.echo(json.dumps({"agrees": agrees, "findings": [finding._asdict() for finding in findings]}))
    else:
        for finding in findings:
            click.echo(f"{'  ' if finding.agrees else '! '}{finding.text}")
        click.echo(f"{archive}: {'everything agrees' if agrees else 'not everything agrees'}.")
    if not agrees:
        raise SystemExit(1)
