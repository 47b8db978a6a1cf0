"""Whether a text answers a question rightly: rules that judges and metrics share."""

from __future__ import annotations

import re

ARTICLES = frozenset({'a', 'an', 'the'})
NUMBERS = ('zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine', 'ten', 'eleven', 'twelve')
COLOURS = frozenset(
    ('red', 'orange', 'yellow', 'green', 'cyan', 'blue', 'purple', 'violet', 'pink', 'brown', 'black', 'white', 'grey')
)
SPELLINGS = dict(gray='grey', colour='color')
_NUMBER = re.compile(r'(?<![\w.])[-+]?\d[\d,]*(?:\.\d+)?(?!\w)')
# A letter of a multiple choice: at the beginning with a mark behind it or alone, or else in brackets.
_CHOICE = (re.compile(r'^\(?([A-Z])(?:[).:,]|$)', re.IGNORECASE), re.compile(r'\(([A-Z])\)', re.IGNORECASE))


def final_answer(text: str, pattern: str | None = None) -> str:
    """The answer proper in a response.

    Args:
        text: a response, which may explain itself first.
        pattern: regular expression whose first group, in its last match, is the answer. Default none: the whole text. A text
            without a match has no answer.

    Returns:
        The answer, ``''`` where there is none.

    Example:
        >>> final_answer('two reds, so the answer is 2', r'answer is (.*)')
        '2'
    """
    if pattern is None:
        return text.strip()
    found = re.findall(pattern, text, flags=re.IGNORECASE)
    if not found:
        return ''
    last = found[-1]
    return (last if isinstance(last, str) else last[0]).strip()


def normalise(text: str) -> str:
    """Lower case, no punctuation and articles, number words as digits, one spelling of colours, single spaces.

    A decimal point and a minus sign before a digit stay.

    Example:
        >>> normalise(' The answer: Two gray cats. ')
        'answer 2 grey cats'
    """
    text = re.sub(r'(?<=\d),(?=\d{3})', '', text.lower())
    words = re.findall(r'[-+]?\d+(?:\.\d+)?(?!\w)|\w+', text)
    words = [str(NUMBERS.index(w)) if w in NUMBERS else SPELLINGS.get(w, w) for w in words if w not in ARTICLES]
    return ' '.join(words)


def exact_match(response: str, answer: str, pattern: str | None = None) -> bool:
    """Whether the final answer of a response is the true one, both normalised."""
    found = final_answer(response, pattern)
    return bool(found) and normalise(found) == normalise(answer)


def contains_answer(response: str, answer: str) -> bool:
    """Whether the true answer stands somewhere in a response as whole words, both normalised.

    A response that lists every option passes: the reward it gives is easy to exploit.
    """
    return f' {normalise(answer)} ' in f' {normalise(response)} '


def rule_match(response: str, answer: str, pattern: str | None = None, tolerance: float = 1e-6) -> bool:
    """Whether a response gives the true answer by a rule for its kind.

    A number is compared with the last number of the final answer, a letter of a multiple choice with its only letter, a
    colour with its only colour; anything else must match exactly.

    Args:
        response: what is judged.
        answer: the true answer, which decides the rule.
        pattern: of :func:`final_answer`.
        tolerance: largest relative error of a number. Default 1e-6.

    Example:
        >>> rule_match('I count 1, 2, 3 cats, so 3.0', '3'), rule_match('(B) the red one', 'b')
        (True, True)
    """
    found = final_answer(response, pattern)
    if not found:
        return False
    true = normalise(answer)
    if re.fullmatch(_NUMBER, true):
        numbers = _NUMBER.findall(normalise(found))
        return bool(numbers) and abs(float(numbers[-1]) - float(true)) <= tolerance * max(1.0, abs(float(true)))
    if re.fullmatch('[a-z]', answer.strip().lower()):
        first, bracketed = (set(pattern.findall(found.upper())) for pattern in _CHOICE)
        return (first or bracketed) == {answer.strip().upper()}
    if true in COLOURS:
        return COLOURS & set(normalise(found).split()) == {true}
    return normalise(found) == true
