"""Text as words that full text search counts, in any script."""

from __future__ import annotations

import re
import unicodedata

# Written without spaces between words: Chinese, Japanese. Everything else that is a letter or digit makes words.
_ALONE = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_RUNS = re.compile(f"([{_ALONE}]+)|([^\\W_{_ALONE}]+)")


def words_of(text: str) -> list[str]:
    """Case-folded words; of Chinese and Japanese every letter and every pair of neighbours, since nothing says where a word ends.

    >>> words_of("Who is 青溪's MAYOR?")
    ['who', 'is', '青', '溪', '青溪', 's', 'mayor']
    """
    found: list[str] = []
    for alone, word in _RUNS.findall(unicodedata.normalize("NFKC", text).casefold()):
        found += [word] if word else [*alone, *(alone[at : at + 2] for at in range(len(alone) - 1))]
    return found
