"""Commands on the audit ledger."""

from __future__ import annotations

import typer

from slicelab.core import visible

audits = typer.Typer(help="The ledger of everything that people decided.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add `audit verify` and `rebuild`."""
    app.add_typer(audits, name="audit")
    app.command()(rebuild)


@audits.command()
def verify() -> None:
    """Check that the ledger's chain is whole and that the database holds what it says; exit code 1 if not.

    Example: slicelab audit verify
    """
    from slicelab.store import audit, connect

    found = audit(connect())
    typer.echo(visible(str(found)).replace("\ufffd  ", "\n  "))
    raise typer.Exit(0 if found.ok else 1)


@audits.command()
def path() -> None:
    """Say where the ledger is.

    Example: cp "$(slicelab audit path)" /backup
    """
    from slicelab.store import connect

    typer.echo(connect().records.ledger.path)


def rebuild() -> None:
    """Make the curated records that the database lost from the ledger: slices, cases, queues, batches, returns.

    Example: slicelab rebuild
    """
    from slicelab.store import connect
    from slicelab.store import rebuild as remake

    typer.echo(visible(str(remake(connect()))).replace("\ufffd  ", "\n  "))
