"""Commands that look after the project itself."""

import json
from pathlib import Path

import click

from depixel.commands import options


@click.command()
@options.as_json
def doctor(as_json: bool) -> None:
    """Say whether everything is in order, and if not, what mends it.

    Looks at the environment, the project's files, the photos, the remote, the cache, the results and the disk; changes
    nothing. Exit code 0 if all is in order, 1 if not.

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
        click.echo("All is in order.")
    if any(finding.mend for finding in findings):
        raise SystemExit(1)


@click.command()
def mend() -> None:
    """Put right what a kill or a power cut did to DVC's own files.

    The stages never leave anything half-written, but DVC itself can be cut off while it writes dvc.lock or
    .dvc/tmp/rwlock, and then refuses to work. Restores the one from the last commit and removes the other; whole files
    stay as they are. Then run `dvc repro` again.

    \b
    Example:
      depixel mend                            then `dvc repro`
    """
    from depixel.maintenance.repair import mend

    for sentence in mend(Path()) or ["Nothing to mend: dvc.lock and .dvc/tmp/rwlock are whole."]:
        click.echo(sentence)
