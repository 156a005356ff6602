"""Clean: normalise, mask, drop what is not worth pairing, merge duplicates, split.

Documents stream: once for the lines that sites repeat, once to be tidied, and then from the spool
to the artefact. Every document is one piece or is cut into several (`clean.chunk`), and every piece
is kept or dropped: chunks = kept + dropped, always.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from pipeline import gold
from pipeline.artifacts import Draft, Reference, Store
from pipeline.cleaning import duplicates, splits
from pipeline.cleaning.aside import DroppedText, Samples
from pipeline.cleaning.spool import Order, Piece, Spool
from pipeline.cleaning.tidying import Tidier, common_lines
from pipeline.config import DomainConfig
from pipeline.encoder import Encoder
from pipeline.errors import NotEnoughText
from pipeline.progress import Progress
from pipeline.records import Document, Dropped, by_frequency
from pipeline.sketches import Places

log = logging.getLogger(__name__)

STAGE: Final = "clean"


class Groups(NamedTuple):
    """By rank: its cluster, by the same words and by the meaning too, and what stands for that."""

    near: Places
    clusters: Places
    standing: Places
    placed: splits.Placed


def run(inputs: Mapping[str, Reference], config: DomainConfig, store: Store) -> Reference:
    """Write the usable documents, each with its cluster and split, and what was dropped.

    Raises:
        NotEnoughText: when no document is usable.
    """
    settings, collected = config.clean, inputs["collect"]

    def documents() -> Iterator[Document]:
        return chain.from_iterable(store.batches(collected, Document))

    with store.scratch(STAGE) as folder, Spool(folder / "spool.sqlite") as spool:
        tidier = Tidier(settings, common_lines(documents(), settings))
        fill(spool, documents(), tidier, collected.rows)
        order = spool.order()
        if not len(order.ids):
            listed = ", ".join(f"{r} {n}" for r, n in by_frequency(spool.reasons()).items())
            message = f"no usable text: all {tidier.documents} documents were dropped ({listed})"
            raise NotEnoughText(message)
        groups = grouped(spool, order, config, folder, _encoder(config, store))
        with store.create("corpus") as draft:
            found = write(draft, spool, order, groups)
            draft.write_json(_counts(tidier) | found | _components(spool, order, groups))
    return draft.reference


def fill(spool: Spool, documents: Iterable[Document], tidier: Tidier, total: int) -> None:
    """Put the pieces of ``documents`` into the spool."""

    def pieces() -> Iterator[Piece]:
        with Progress(STAGE, total, "document") as progress:
            for document in documents:
                yield from tidier.pieces(document)
                progress.advance()

    spool.add(pieces())


def grouped(
    spool: Spool, order: Order, config: DomainConfig, folder: Path, encoder: Encoder | None
) -> Groups:
    """Return clusters and splits of the usable pieces; ``encoder`` to look at meanings too."""
    settings = config.clean
    found = duplicates.find(spool, order, settings.near_duplicate, folder)
    near = found.roots()
    if encoder is not None and settings.semantic_duplicate is not None:
        duplicates.join_meanings(found, spool, order, encoder, settings.semantic_duplicate)
    clusters = found.roots()
    links = splits.Links(gold.load(config), settings)
    for piece in spool.pieces():
        if not piece.reason:
            links.add(piece.document)
    placed = links.place(found, order.ids)
    return Groups(near, clusters, splits.standing(clusters, placed.splits), placed)


def write(draft: Draft, spool: Spool, order: Order, groups: Groups) -> dict[str, Any]:
    """Write kept and dropped pieces in order of their names, and return how many there are."""
    names = _cluster_names(order, groups.clusters)
    reasons, samples, counted = Counter[str](), Samples(), Counter[str]()
    rank = 0
    with draft.writer(Document) as kept, draft.writer(Dropped, "dropped") as dropped:
        for piece in spool.pieces():
            drop = _refused(piece) if piece.reason else _repeated(piece, rank, spool, order, groups)
            if drop:
                reasons[drop.reason] += 1
                samples.add(piece.document, drop)
                dropped.write([drop])
            else:
                split = splits.SPLITS[groups.placed.splits[rank]]
                update = {"cluster": f"{int(names[rank]):016x}", "split": split}
                kept.write([piece.document.model_copy(update=update)])
                counted[split] += 1
            rank += not piece.reason
    draft.write_rows(samples.rows(), DroppedText, "samples")
    return {
        "chunks": kept.rows + dropped.rows,
        "kept": kept.rows,
        "dropped": by_frequency(reasons),
        "splits": {split: counted[split] for split in splits.SPLITS},
    }


def _encoder(config: DomainConfig, store: Store) -> Encoder | None:
    if config.clean.semantic_duplicate is None:
        return None
    from pipeline.encoder.cache import VectorCache  # noqa: PLC0415 - for an option
    from pipeline.encoder.transformer import EncoderSpec, load_backbone  # noqa: PLC0415 - torch

    encoder = load_backbone(EncoderSpec.of(config.encoder), store.home)
    return VectorCache(encoder, store.home.journal)


def _cluster_names(order: Order, clusters: Places) -> np.ndarray:
    """Return by rank the smallest id of each cluster; right at its root."""
    smallest = order.ids.copy()
    np.minimum.at(smallest, clusters, order.ids)
    return smallest


def _refused(piece: Piece) -> Dropped:
    return _drop(piece, piece.reason, piece.detail)


def _repeated(
    piece: Piece, rank: int, spool: Spool, order: Order, groups: Groups
) -> Dropped | None:
    root = int(groups.standing[rank])
    if root == rank:
        return None
    if order.ids[rank] == order.ids[root]:
        reason = "exact_duplicate"
    else:
        near = groups.near[rank] == groups.near[root]
        reason = "near_duplicate" if near else "semantic_duplicate"
    return _drop(piece, reason, f"as {spool.name(int(order.positions[root]))}")


def _drop(piece: Piece, reason: str, detail: str) -> Dropped:
    document = piece.document
    return Dropped(
        record_id=document.id, stage=STAGE, reason=reason, detail=f"{document.name}: {detail}"
    )


def _counts(tidier: Tidier) -> dict[str, Any]:
    return {
        "in": tidier.documents,
        "masked": dict(sorted(tidier.masked.items())),
        "boilerplate_lines": tidier.boilerplate_lines,
    }


def _components(spool: Spool, order: Order, groups: Groups) -> dict[str, Any]:
    """Return how many clusters and components there are, and which components are large."""
    sizes = np.bincount(groups.clusters)
    kept = groups.placed.roots[np.unique(groups.standing)]
    large = [
        {
            "documents": size,
            "split": splits.SPLITS[groups.placed.splits[root]],
            "first": spool.name(int(order.positions[root])),
        }
        for root, size in splits.large(kept)
    ]
    for row in large:
        log.warning("%(documents)d documents hang together and are all in %(split)s, the first: "
                    "%(first)s", row)  # fmt: skip
    return {
        "clusters": int((sizes > 1).sum()),
        "components": {"count": len(np.unique(kept)), "large": large},
    }
