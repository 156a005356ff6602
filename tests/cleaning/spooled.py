"""Documents put through the spool and the search for duplicates, as the stage does."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from pipeline.cleaning import duplicates
from pipeline.cleaning.spool import Piece, Spool
from pipeline.records import Document


def clusters(documents: Sequence[Document], threshold: float) -> list[list[Document]]:
    """Return the documents in clusters, both in order of names."""
    with tempfile.TemporaryDirectory() as name, Spool(Path(name) / "spool.sqlite") as spool:
        spool.add(Piece(document) for document in documents)
        roots = duplicates.find(spool, spool.order(), threshold, Path(name)).roots().tolist()
        members: dict[int, list[Document]] = {}
        for rank, piece in enumerate(spool.pieces()):
            members.setdefault(roots[rank], []).append(piece.document)
    return list(members.values())


def named(documents: Iterable[Sequence[Document]]) -> list[list[str]]:
    """Return the names in each cluster."""
    return [[document.name for document in cluster] for cluster in documents]
