"""Commands that look after the project itself."""

import json
from pathlib import Path

import click

from depixel.commands import options


@click.command()
@options.as_json
def doctor(as_json: bool) -> None:
    """Check the project, and name what fixes each fault.

    Checks the environment, the project's files, the photos, the remote, the cache, the results and the disk. It changes
    nothing. The exit code is 0 if everything is in order, otherwise 1.

    \b
    Example:
      depixel doctor
    """
    from depixel.maintenance.doctor import examine

    findings = []
    for finding in examine():
        findings.append(finding)
        if not as_json:
            click.echo(f"{'  ' if not finding.mend else '! '}{finding.subject:12} {finding.found}")
            if finding.mend:
                click.echo(f"{'':14} -> {finding.mend}")
    if as_json:
        click.echo(json.dumps([finding._asdict() for finding in findings]))
    elif all(not finding.mend for finding in findings):
        click.echo("Everything is in order.")
    if any(finding.mend for finding in findings):
        raise SystemExit(1)


@click.command()
def mend() -> None:
    """Repair DVC's own files after a kill or a power cut.

    The stages leave nothing half-written. DVC itself can be cut off while it writes dvc.lock or .dvc/tmp/rwlock, and
    then refuses to work. The command restores a damaged dvc.lock from the last commit and removes a damaged rwlock.
    Intact files stay as they are. Then run `dvc repro` again.

    \b
    Example:
      depixel mend
      dvc repro
    """
    from depixel.maintenance.repair import mend

    for sentence in mend(Path()) or ["Nothing to mend: dvc.lock and .dvc/tmp/rwlock are intact."]:
        click.echo(sentence)
