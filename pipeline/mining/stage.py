"""The stage "mine": from train documents to pairs worth labelling."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pipeline import gold, leakage
from pipeline.artifacts import Reference, Store
from pipeline.config import DomainConfig
from pipeline.encoder import Encoder
from pipeline.encoder.cache import VectorCache
from pipeline.errors import ConfigError, NotEnoughText
from pipeline.mining import texts
from pipeline.mining.coverage import coverage
from pipeline.mining.pool import Pool
from pipeline.mining.sampler import SAMPLERS, Sample
from pipeline.mining.strategies import STRATEGIES
from pipeline.mining.texts import Unwanted, nothing
from pipeline.records import Document, Pair, digest_of, pair_id, text_id
from pipeline.registered import Text
from pipeline.sections import MineSettings


class Mined(NamedTuple):
    """The pairs, how many candidates were not taken and why, and what the pairs cover."""

    pairs: list[Pair]
    dropped: dict[str, int]
    coverage: dict[str, Any]


def run(inputs: Mapping[str, Reference], config: DomainConfig, store: Store) -> Reference:
    """Write the pairs; held-out documents are never paired.

    Of candidates that are not taken only the number is kept, by reason: there may be millions.
    """
    from pipeline.encoder.transformer import EncoderSpec, load_backbone  # noqa: PLC0415 - torch

    check_shares(config.mine)
    corpus = store.rows(inputs["clean"], Document)
    train = [document for document in corpus if document.split == "train"]
    encoder = load_backbone(EncoderSpec.of(config.encoder), store.home)
    share = config.mine.model_copy(update={"pairs": config.mine.pairs // config.mine.rounds})
    cache = VectorCache(encoder, store.home.journal)
    return write(mine(train, share, cache, barred(corpus, config)), store)


def barred(corpus: Sequence[Document], config: DomainConfig) -> Unwanted:
    """Return what tells which texts measure something as well.

    Documents that differ may share a sentence. A pair with one that is in held-out text or the gold
    set would be labelled for nothing: it is not trained on.
    """
    held_out = leakage.views(leakage.held_out([corpus]))
    measured = [*held_out, *leakage.gold_texts(gold.load(config))]

    def unwanted(texts: Sequence[str]) -> frozenset[str]:
        held = leakage.Held((Text(text, "") for text in texts), config.leakage.near_duplicate)
        return frozenset(text_id(leak.trained) for leak in held.same_texts(measured))

    return unwanted


def write(mined: Mined, store: Store) -> Reference:
    """Write the pairs and what is known of them."""
    pairs = mined.pairs
    with store.create("pairs") as draft:
        draft.write_rows(pairs, Pair)
        draft.write_json(
            {
                "pairs": len(pairs),
                "strategies": dict(Counter(pair.strategy for pair in pairs)),
                "texts": len({text for p in pairs for text in (p.sentence1, p.sentence2)}),
                "dropped": mined.dropped,
                "coverage": mined.coverage,
            }
        )
    return draft.reference


def check_shares(settings: MineSettings) -> None:
    """Refuse strategies that do not exist.

    Raises:
        ConfigError: names those that do.
    """
    unknown = sorted(set(settings.shares) - set(STRATEGIES))
    if unknown or (settings.shares and not sum(settings.shares.values())):
        message = f"mine.shares: unknown {unknown or 'sum 0'}; there are {', '.join(STRATEGIES)}"
        raise ConfigError(message)


def mine(
    documents: Sequence[Document],
    settings: MineSettings,
    encoder: Encoder,
    unwanted: Unwanted = nothing,
) -> Mined:
    """Return ``settings.pairs`` pairs, or as many as there are if at least half of that.

    No pair has a text whose id ``unwanted`` returns.

    Raises:
        NotEnoughText: when the documents do not yield that many.
    """
    chosen = choose(documents, settings)
    found = Mined([], {}, {})
    if len(chosen) > 2:
        seen = texts.of(chosen, settings, encoder, unwanted)
        found = described(SAMPLERS[settings.sampler](seen), chosen)
    if len(found.pairs) < settings.pairs / 2:
        message = (
            f"{len(documents)} train documents yield {len(found.pairs)} pairs, mine.pairs asks for "
            f"{settings.pairs}: add text, or lower mine.pairs"
        )
        raise NotEnoughText(message)
    return found


def choose(documents: Sequence[Document], settings: MineSettings) -> list[Document]:
    """Return the documents that pairs are drawn from, in the order of their hashes."""
    ordered = sorted(documents, key=lambda d: digest_of(str(settings.seed), "document", d.id))
    return ordered[: settings.texts]


def described(sample: Sample, documents: Sequence[Document]) -> Mined:
    """Return the pairs of a sample as records, with what is known of them."""
    dropped = {reason: count for reason, count in sample.dropped.most_common() if count}
    return Mined(_pairs(sample.pool, documents), dropped, coverage(sample))


def _pairs(pool: Pool, documents: Sequence[Document]) -> list[Pair]:
    columns = (pool.first, pool.second, pool.one, pool.two, pool.strategy)
    pairs = []
    for first, second, one, two, strategy in zip(*(c.tolist() for c in columns), strict=True):
        sentence1, sentence2 = pool.texts[first], pool.texts[second]
        pairs.append(
            Pair(
                id=pair_id(sentence1, sentence2),
                sentence1=sentence1,
                sentence2=sentence2,
                strategy=pool.names[strategy],
                document1=documents[one].id,
                document2=documents[two].id,
                name1=documents[one].name,
                name2=documents[two].name,
            )
        )
    return pairs
