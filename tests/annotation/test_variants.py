"""Which texts that a model wrote are worth scoring, and the reasons why others are not."""

from __future__ import annotations

import csv
import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pipeline.annotation import variants
from pipeline.annotation.variants import FILTERS, OPPOSITE, QUERY, Variant, refusal
from pipeline.config import CHECKOUT
from pipeline.records import normalised
from pipeline.sections import GenerateSettings

SOURCE = "Return the size of the file in bytes, or zero when there is no such file."
GOOD = "Tell how many bytes are stored under this name; a missing entry counts as nothing."
EXAMPLES: dict[str, tuple[Variant, ...]] = {
    "no_words": (Variant("…", SOURCE, "generated_same"), Variant("**", SOURCE, "generated_same")),
    "prompt_echoed": (
        Variant("<text-0a1b2c3d>", SOURCE, "generated_same"),
        Variant("The same meaning in other words: change the vocabulary and the structure, keep "
                "every statement.", SOURCE, "generated_level_5"),
    ),
    "list_marker": tuple(
        Variant(f"{marker}{GOOD}", SOURCE, "generated_same")
        for marker in ("3. ", "(2) ", "- ", "• ", "Level 3: ", "Opposite meaning: ", "Query 2: ")
    ),
    "exact_copy": (Variant(f" {SOURCE.upper()}", SOURCE, "generated_same"),),
    "near_copy": (
        Variant(SOURCE.replace("size", "length"), SOURCE, "generated_same"),
        Variant(SOURCE.replace("Return", "Do not return"), SOURCE, OPPOSITE),
    ),
    "few_new_words": (
        Variant("Such is the file in bytes: no zero of the size, or when there is a return.",
                SOURCE, OPPOSITE),
    ),
    "length_ratio": (
        Variant("Tell how big.", SOURCE, "generated_same"),
        Variant(f"{GOOD} " * 4, SOURCE, QUERY),
    ),
    "other_language": (
        Variant("Gibt an, wie viele Bytes unter diesem Namen liegen; fehlt der Eintrag, sind es "
                "keine.", SOURCE, "generated_same"),
        Variant("Læser data fra filen.", "Return the data read from the file.", "generated_same"),
        Variant("Renvoie le nombre d'octets enregistrés sous ce nom, et rien s'il n'existe pas.",
                SOURCE, "generated_same"),
        Variant("返回以此名称保存的字节数。如果没有此条目则为零。如果名称不存在也不会报错。",
                SOURCE, "generated_same"),
        Variant("Tell how many bytes are stored under this name.",
                "返回以此名称保存的字节数。如果没有此条目则为零。", "generated_same"),
    ),
}  # fmt: skip


def test_every_filter_has_an_example() -> None:
    assert list(EXAMPLES) == list(FILTERS)


@pytest.mark.parametrize(
    ("reason", "variant"), [(reason, one) for reason, some in EXAMPLES.items() for one in some]
)
def test_a_text_that_is_not_worth_scoring_is_refused_with_the_reason(
    reason: str, variant: Variant
) -> None:
    found, detail = refusal(variant, GenerateSettings(new_words=5))
    assert (found, bool(detail)) == (reason, True)


@pytest.mark.parametrize(
    ("text", "source"),
    [
        (GOOD, SOURCE),
        ("3. The third step closes the file.", "2. The second step has it opened and read."),
        ("1:1 copies need no conversion of the values.", "Without converting, values stay equal."),
        ("打开该路径指向的文件并得到文件对象。", "打开文件并返回文件对象。"),
        ("Wie groß ist die Datei?", "Gibt die Größe der Datei in Bytes zurück."),
        ("os.path.getsize(name)", "Return the size of a file."),
        # A detector that has to decide takes the second text for Latin.
        ("The probability that the value is not larger than a given number.",
         "Cumulative distribution function. P(X <= x)"),
        ("Authors are cited wherever they are quoted, so do not copy a run of more than a line.",
         "The guide asks: do not copy a run of more than three words; name who wrote them."),
        ("Elements written as <text> are left out.", "A <text> element is not kept."),
    ],
)  # fmt: skip
def test_what_a_source_has_too_or_what_is_hard_to_tell_is_no_reason(text: str, source: str) -> None:
    assert refusal(Variant(text, source, "generated_same"), GenerateSettings()) == ("", "")


def test_options_turn_filters_off() -> None:
    lenient = GenerateSettings(near_copy=1.0, length_ratio=100, same_language=False, new_words=0)
    for reason in ("near_copy", "few_new_words", "length_ratio", "other_language"):
        for variant in EXAMPLES[reason]:
            assert refusal(variant, lenient) == ("", "")


def test_a_prompt_with_variables_is_known_again_without_them() -> None:
    said = "You are a highly smart sentence-generating system that writes what people want to have."
    strict = GenerateSettings(prompt="synonym-antonym.v1")
    assert refusal(Variant(said, SOURCE, "generated_same"), strict)[0] == "prompt_echoed"
    assert refusal(Variant(said, SOURCE, "generated_same"), GenerateSettings()) == ("", "")


def test_a_query_may_be_short_and_an_opposite_alone_must_lack_words() -> None:
    (changed, *_) = EXAMPLES["few_new_words"]
    strict = GenerateSettings(new_words=5)
    assert refusal(changed._replace(strategy="generated_same"), strict) == ("", "")
    short = Variant("file size", SOURCE, QUERY)
    assert refusal(short, strict) == ("", "")
    assert refusal(short._replace(strategy="generated_same"), strict)[0] == "length_ratio"


def gold_texts() -> list[tuple[str, str]]:
    with (CHECKOUT / "data/python-stdlib/gold_pairs.csv").open(encoding="utf-8") as file:
        return [(row["sentence1"], row["sentence2"]) for row in csv.DictReader(file)]


def test_no_text_of_the_gold_pairs_is_taken_for_another_language_than_its_partner() -> None:
    pairs, strict = gold_texts(), GenerateSettings()
    assert len(pairs) > 800
    wrong = [one for one in pairs if variants.other_language(Variant(*one, ""), strict)]
    assert wrong == []


phrases = st.lists(
    st.sampled_from(["file", "Files", "the", "not", "open", "a", "字节", "1.", "-", "(", "Größe"]),
    max_size=12,
).map(" ".join)
any_text = st.one_of(phrases, st.text(max_size=40))
asked_for = st.sampled_from(["generated_same", OPPOSITE, QUERY, "generated_level_2"])
thresholds = st.builds(
    GenerateSettings,
    near_copy=st.floats(0.01, 1),
    length_ratio=st.floats(1, 5),
    new_words=st.integers(0, 6),
)


@given(text=any_text, source=any_text, strategy=asked_for, strict=thresholds)
def test_the_first_filter_of_the_table_that_refuses_is_the_reason(
    text: str, source: str, strategy: str, strict: GenerateSettings
) -> None:
    variant = Variant(text, source, strategy)
    refused = [name for name, rule in FILTERS.items() if rule(variant, strict)]
    assert refusal(variant, strict)[0] == (refused[0] if refused else "")


@given(text=any_text, source=any_text, strict=thresholds)
def test_filters_agree_with_their_definition_spelled_out(
    text: str, source: str, strict: GenerateSettings
) -> None:
    variant = Variant(text, source, OPPOSITE)
    flat, other = normalised(text), normalised(source)
    first = {flat[at : at + 3] for at in range(len(flat)) if at + 3 <= len(flat)} or {flat}
    second = {other[at : at + 3] for at in range(len(other)) if at + 3 <= len(other)} or {other}
    alike = sum(gram in second for gram in first) / len([*first, *(second - first)])
    assert bool(variants.near_copy(variant, strict)) == (alike >= strict.near_copy)
    assert bool(variants.exact_copy(variant, strict)) == (flat == other)
    longer, shorter = max(len(flat), len(other)), max(1, min(len(flat), len(other)))
    assume(not math.isclose(longer / shorter, strict.length_ratio))
    if flat and other:
        assert bool(variants.length(variant, strict)) == (longer > shorter * strict.length_ratio)


@given(source=phrases, extra=st.integers(0, 3))
def test_an_opposite_lacks_the_words_that_were_taken_out(source: str, extra: int) -> None:
    words = [f"word{n}" for n in range(8)]
    text = " ".join([*source.split(), *words[extra:]])
    variant = Variant(text, " ".join([*source.split(), *words]), OPPOSITE)
    assert bool(variants.few_new_words(variant, GenerateSettings(new_words=2))) == (extra < 2)
