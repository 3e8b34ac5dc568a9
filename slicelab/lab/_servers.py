"""A queue's batches on live annotation servers: pushed, and pulled when people have submitted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, get_args

from slicelab import annotation
from slicelab.core import Batch, InvalidInputError, Return, Slice, StateError, check_choice
from slicelab.store import Queues

Server = Literal["label-studio", "cvat"]


class Servers:
    """The part of a queue that talks to servers; see `LabQueue`."""

    name: str
    _queues: Queues
    _claim: Callable[..., Batch]
    batches: Callable[[], list[Batch]]
    receive: Callable[..., Return]

    def push(
        self,
        batch: Batch | str | None = None,
        *,
        url: str,
        token: str,
        server: Server = "label-studio",
        document_root: str | Path | None = None,
        media_url: str | None = None,
        share_root: str | Path | None = None,
        organization: str | None = None,
        job_size: int = 100,
        model: str | None = None,
        blind: bool = False,
        limit: int | None = None,
        probes: Slice | str | Sequence[str] = (),
        probe_share: float = 0.1,
    ) -> annotation.Pushed:
        """Send a batch to a live Label Studio or CVAT server; again: what is missing there.

        Parameters
        ----------
        batch
            One that is out already; None: the queued items become a new batch.
        url, token
            The server, and an access token.
        server
            "label-studio" or "cvat". CVAT was tested against its documented API, not against a live server yet.
        document_root, media_url
            Where Label Studio finds the images; see `slicelab.annotation.push_label_studio`.
        share_root, organization, job_size
            CVAT's file share (None: the images are uploaded), the organization, and images per job; see
            `slicelab.annotation.push_cvat`.
        model, blind, limit, probes, probe_share
            As `export`.
        """
        _check_server(server, document_root=document_root, media_url=media_url, share_root=share_root)
        if batch is None:
            batch = self._claim(model=model, blind=blind, limit=limit, probes=probes, probe_share=probe_share)
        of_batch = self._queues.batch(batch) if isinstance(batch, str) else batch
        if server == "cvat":
            return annotation.push_cvat(
                of_batch,
                url=url,
                token=token,
                share_root=share_root,
                organization=organization,
                job_size=job_size,
                blind=blind,
            )
        return annotation.push_label_studio(
            of_batch, url=url, token=token, document_root=document_root, media_url=media_url, blind=blind
        )

    def pull(
        self,
        folder: str | Path,
        *,
        url: str,
        token: str,
        server: Server = "label-studio",
        organization: str | None = None,
        batch: Batch | str | None = None,
    ) -> Return:
        """Fetch what people submitted on a server and receive it (see `receive`).

        Parameters
        ----------
        folder
            Where what was fetched is kept as a file.
        url, token, server, organization
            As `push`.
        batch
            None: the last one.
        """
        _check_server(server)
        out = self.batches()
        if not out:
            raise StateError(f"Queue {self.name!r} has exported nothing yet; push first.")
        of_batch = out[-1] if batch is None else self._queues.batch(batch) if isinstance(batch, str) else batch
        if server == "cvat":
            path = annotation.pull_cvat(of_batch, folder, url=url, token=token, organization=organization)
        else:
            path = annotation.pull_label_studio(of_batch, folder, url=url, token=token)
        return self.receive(path, batch=of_batch, format=server)


def _check_server(
    server: str,
    document_root: str | Path | None = None,
    media_url: str | None = None,
    share_root: str | Path | None = None,
) -> None:
    """Refuse what the server has no use for before a batch is made of the queued items."""
    check_choice(server, get_args(Server), "server")
    if server == "cvat" and (document_root is not None or media_url is not None):
        raise InvalidInputError(
            "document_root and media_url are Label Studio's. CVAT gets the images uploaded, or takes them from its "
            "file share: share_root."
        )
    if server == "label-studio" and share_root is not None:
        raise InvalidInputError("share_root is CVAT's. Say document_root or media_url for Label Studio.")
