"""Prose -> the language that it is written in, by its script and by the small words that every sentence needs.

A short text of names and numbers has no language; then nothing is said, because a wrong answer is worse than none.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Mapping

LIMIT = 6_000
"""Characters that are looked at."""
LEAST = 3
"""Small words that a Latin text must have before a language is named."""
MARGIN = 1.5
"""How many times the second language's small words the first one's must be."""
SHARE = 0.08
"""Share of all words that must be small words of the language; running text has 0.25 and more."""
_SCRIPTS: Mapping[str, str] = {
    "CJK": "zh",
    "HIRAGANA": "ja",
    "KATAKANA": "ja",
    "HANGUL": "ko",
    "CYRILLIC": "ru",
    "ARABIC": "ar",
    "HEBREW": "he",
    "GREEK": "el",
    "DEVANAGARI": "hi",
    "THAI": "th",
}
"""First word of a character's Unicode name -> the language that most often writes with it."""
_LETTERS_A_WORD: Mapping[str, float] = {"zh": 1.7, "ja": 2.5, "ko": 3, "th": 4}
"""How many letters stand for a word, where words are not set apart; 5 elsewhere."""
_UKRAINIAN, _PERSIAN = frozenset("іїєґ"), frozenset("پچژگ")


def _of(words: str) -> frozenset[str]:
    return frozenset(words.split())


_FALSE_FRIENDS = _of("a as do no me on in is an i to at die men so per plus of e o")
"""Words that are small in another language and common in English, or in code."""

_SMALL: Mapping[str, frozenset[str]] = {
    "en": _of(
        "the and is are was to of in it that this with for not have has be when on you i my from but if can does do "
        "would should there which what how an as or by after using"
    ),
    "de": _of(
        "der die das und ist nicht ein eine ich mit auf für dem den des wird werden wenn auch bei nach aber oder es "
        "im zu wie kann habe wir sich noch nur keine einen von beim"
    ),
    "fr": _of(
        "le la les et est un une des du de que qui dans pas pour sur avec je vous nous il ne ce cette mais ou "
        "sont au aux lorsque quand être fait bonjour plus comme"
    ),
    "es": _of(
        "el la los las y es un una que de en no por para con se del al lo cuando pero como está este esta son hay "
        "tiene mi me muy sin hola hacer puedo si"
    ),
    "pt": _of(
        "o a os as e é um uma que de em não por para com se do da no na quando mas como está este esta são tem meu "
        "eu muito sem ao dos das pelo você ou isso"
    ),
    "it": _of(
        "il lo la gli le e è un una che di in non per con si del della al quando ma come questo questa sono ho mi "
        "anche più nel nella ciao dal alla perché se"
    ),
    "nl": _of(
        "de het een en is niet van ik met op voor dat die te zijn wordt als maar ook bij naar er aan om kan heb wij "
        "nog geen wanneer deze dit uit"
    ),
    "pl": _of(
        "i w na nie jest się z do że to jak po od ale dla przy czy przez gdy jestem mam są tylko lub tego może już "
        "został oraz który która"
    ),
    "tr": _of(
        "ve bir bu için ile değil çok ama gibi ne var yok ben olarak sonra daha en mi da de kadar olan nasıl her "
        "şey değildir ancak hata"
    ),
    "sv": _of(
        "och är det att en ett inte jag med på för som av när den till men om har kan de vi från eller ingen mig "
        "efter också bara"
    ),
    "cs": _of(
        "a je se na v to že s z do jak ale pro při jsem není když jsou jen nebo po od jako který která pokud má "
        "také tak už"
    ),
    "id": _of(
        "yang dan di ini itu tidak untuk dengan dari saya ke pada ada bisa akan sudah atau juga ketika karena "
        "adalah setelah jika tapi apakah"
    ),
    "vi": _of("và là của không tôi có trong cho một khi được này với các để những như từ đã thì nhưng bị lỗi tại"),
}
_TELLING = {code: small if code == "en" else small - _FALSE_FRIENDS for code, small in _SMALL.items()}


def language_of(prose: str) -> str:
    """ISO 639-1 code, empty when unsure. Give it prose: code and addresses are no language. Never raises."""
    text = unicodedata.normalize("NFC", prose[:LIMIT]).lower()
    scripts = Counter(filter(None, map(_script, text)))
    words = _words(text)
    foreign = {code: count / _LETTERS_A_WORD.get(code, 5) for code, count in scripts.items()}
    if foreign:
        # A form's headings stay English whatever is written below them, so a third of the words is enough.
        if sum(foreign.values()) >= max(2.0, 0.5 * len(words)):
            return _by_script(scripts, text)
        if sum(foreign.values()) > 0.25 * len(words):
            return ""
    return _by_small_words(words)


def _script(char: str) -> str:
    if char < "\u0370" or not char.isalpha():
        return ""
    return _SCRIPTS.get(unicodedata.name(char, "").split(" ", 1)[0], "")


def _by_script(scripts: Counter[str], text: str) -> str:
    if scripts["ja"] and scripts["ja"] + scripts["zh"] >= scripts["ko"]:  # Japanese mixes Han with its own letters
        # A single borrowed sign does not make a Chinese text Japanese.
        return "ja" if scripts["ja"] * 10 >= scripts["zh"] else "zh"
    code, _ = max(scripts.items(), key=lambda each: (each[1], each[0]))
    if code == "ru" and _UKRAINIAN & set(text):
        return "uk"
    return "fa" if code == "ar" and _PERSIAN & set(text) else code


def _words(text: str) -> list[str]:
    cleaned = "".join(
        char if char.isalpha() and (char < "\u0370" or "\u1e00" <= char < "\u1f00") else " " for char in text
    )
    return cleaned.split()


def _by_small_words(words: list[str]) -> str:
    counts = Counter(words)
    hits = {code: sum(counts[word] for word in small) for code, small in _TELLING.items()}
    # Several different ones: a single word that comes often may be a name.
    kinds = {code: sum(1 for word in small if counts[word]) for code, small in _TELLING.items()}
    (first, most), (_, second) = sorted(hits.items(), key=lambda each: -each[1])[:2]
    if most < LEAST or kinds[first] < LEAST or most < SHARE * len(words) or most < MARGIN * second:
        return ""
    return first
