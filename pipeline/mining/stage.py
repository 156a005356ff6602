"""The stage "mine": from train documents to pairs worth labelling."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from pipeline.artifacts import Reference, Store
from pipeline.config import DomainConfig
from pipeline.encoder import Encoder
from pipeline.encoder.cache import VectorCache
from pipeline.errors import ConfigError, NotEnoughText
from pipeline.mining.strategies import STRATEGIES, Proposal, Texts
from pipeline.records import Document, Dropped, Pair, count_reasons, digest_of, pair_id, text_id
from pipeline.sections import MineSettings
from pipeline.sentences import first_and_rest, lead


def run(inputs: Mapping[str, Reference], config: DomainConfig, store: Store) -> Reference:
    """Write the pairs; held-out documents are never paired."""
    from pipeline.encoder.transformer import EncoderSpec, load_backbone  # noqa: PLC0415 - torch

    corpus = store.rows(inputs["clean"], Document)
    train = [document for document in corpus if document.split == "train"]
    check_shares(config.mine)
    encoder = load_backbone(EncoderSpec.of(config.encoder), store.home)
    pairs, dropped = mine(train, config.mine, VectorCache(encoder, store.home.journal))
    with store.create("pairs") as draft:
        draft.write_rows(pairs, Pair)
        draft.write_dropped(dropped)
        draft.write_json(
            {
                "pairs": len(pairs),
                "strategies": dict(Counter(pair.strategy for pair in pairs)),
                "texts": len({text for p in pairs for text in (p.sentence1, p.sentence2)}),
                "dropped": count_reasons(dropped),
            }
        )
    return draft.reference


def check_shares(settings: MineSettings) -> None:
    """Refuse strategies that do not exist.

    Raises:
        ConfigError: names those that do.
    """
    unknown = sorted(set(settings.shares) - set(STRATEGIES))
    if unknown or not sum(settings.shares.values()):
        message = f"mine.shares: unknown {unknown or 'sum 0'}; there are {', '.join(STRATEGIES)}"
        raise ConfigError(message)


def mine(
    documents: list[Document], settings: MineSettings, encoder: Encoder
) -> tuple[list[Pair], list[Dropped]]:
    """Return ``settings.pairs`` pairs, shared out over the strategies, and what was not taken.

    Raises:
        NotEnoughText: when the documents do not yield that many pairs.
    """
    chosen = sorted(documents, key=lambda d: digest_of(str(settings.seed), "document", d.id))
    chosen = chosen[: settings.texts]
    texts = _texts(chosen, settings, encoder)
    pairs: dict[str, Pair] = {}
    dropped: list[Dropped] = []
    if len(chosen) > 2:
        for name, share in settings.shares.items():
            wanted = round(settings.pairs * share / sum(settings.shares.values()))
            proposals = [] if wanted == 0 else list(STRATEGIES[name](texts))
            _take(name, wanted, [_pair(name, p, chosen) for p in proposals], (pairs, dropped))
    if len(pairs) < settings.pairs / 2:
        message = (
            f"{len(documents)} train documents yield {len(pairs)} pairs, mine.pairs asks for "
            f"{settings.pairs}: add text, or lower mine.pairs"
        )
        raise NotEnoughText(message)
    return list(pairs.values()), dropped


def _texts(documents: list[Document], settings: MineSettings, encoder: Encoder) -> Texts:
    halves = [first_and_rest(document.text, settings.max_words) for document in documents]
    return Texts(
        leads=[lead(document.text, settings.max_words) for document in documents],
        firsts=[lead(first, settings.max_words) for first, _ in halves],
        rests=[rest for _, rest in halves],
        encoder=encoder,
        seed=settings.seed,
    )


def _pair(strategy: str, proposal: Proposal, documents: list[Document]) -> Pair:
    sentence1, sentence2, first, second = proposal
    return Pair(
        id=pair_id(sentence1, sentence2),
        sentence1=sentence1,
        sentence2=sentence2,
        strategy=strategy,
        document1=documents[first].id,
        document2=documents[second].id,
        name1=documents[first].name,
        name2=documents[second].name,
    )


def _take(
    strategy: str, wanted: int, candidates: list[Pair], into: tuple[dict[str, Pair], list[Dropped]]
) -> None:
    """Move ``wanted`` candidates into the pairs, lowest id first; count why others are not."""
    pairs, dropped = into
    taken = 0
    for pair in sorted(candidates, key=lambda pair: pair.id):
        reason = ""
        if pair.id in pairs:
            reason = "proposed_twice"
        elif text_id(pair.sentence1) == text_id(pair.sentence2):
            reason = "same_text"
        elif taken >= wanted:
            reason = "over_share"
        if reason:
            dropped.append(Dropped(record_id=pair.id, stage="mine", reason=reason, detail=strategy))
        else:
            pairs[pair.id] = pair
            taken += 1
