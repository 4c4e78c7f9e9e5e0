"""Nearly equal texts: found, not confused by a common form, and the index right."""

from __future__ import annotations

from random import Random

from everlearn.data_check.near import near_duplicates

WORDS = "amber barley cider denim ebony flax ginger honey ivory jade kelp linen mustard nutmeg oats paper quartz rye saffron tea".split()


def sentence(seed: int, words: int = 30) -> str:
    random = Random(seed)
    return " ".join(random.choice(WORDS) + str(random.randint(0, 99)) for _ in range(words))


def test_a_text_with_one_word_changed_is_found_and_its_similarity_is_the_jaccard_index() -> None:
    first = sentence(1)
    second = first.replace(first.split()[4], "other")
    ((later, earlier, similar),) = near_duplicates([sentence(0), first, sentence(2), second])
    shingles = [{text[at : at + 5] for at in range(len(text) - 4)} for text in (first, second)]
    assert (later, earlier) == (3, 1)
    assert abs(similar - len(shingles[0] & shingles[1]) / len(shingles[0] | shingles[1])) < 1e-9


def test_equal_texts_are_similar_by_one_also_very_short_ones() -> None:
    assert near_duplicates(["a", "b", "a", "a"]) == [(2, 0, 1.0), (3, 0, 1.0)]


def test_what_differs_is_not_found_and_nothing_is_found_in_nothing() -> None:
    assert near_duplicates([sentence(seed) for seed in range(200)]) == []
    assert near_duplicates([]) == []


def test_a_form_that_most_texts_share_does_not_make_them_alike() -> None:
    form = "What is the stance of the following text on monetary policy? Please answer dovish, hawkish or neutral. Document: {} Stance:"
    texts = [form.format(sentence(seed, 6)) for seed in range(40)]
    assert near_duplicates(texts) == []
    assert [pair[:2] for pair in near_duplicates([*texts, texts[7].replace("Stance:", "Stance:!")])] == [(40, 7)]


def test_nine_of_ten_near_pairs_at_the_bound_are_found_among_many() -> None:
    texts = [sentence(seed, 40) for seed in range(300)]
    changed = [" ".join([*text.split()[:-2], "x", "y"]) for text in texts]
    pairs = near_duplicates(texts + changed)
    assert len(pairs) >= 270
    assert all(later - earlier == 300 and similar >= 0.8 for later, earlier, similar in pairs)


def test_chinese_is_compared_by_its_characters() -> None:
    text = "内罗毕是肯尼亚的首都也是该国最大的城市位于东非高原之上人口超过四百万"
    assert [pair[:2] for pair in near_duplicates([text, "北京是中国的首都", text + "人"])] == [(2, 0)]
