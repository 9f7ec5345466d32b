"""The classes and places that patterns can name, and how they read in English."""

from __future__ import annotations

from collections.abc import Mapping

CLASSES: Mapping[str, str] = {
    "digit": "digits",
    "first-digit": "the first digit of a number",
    "later-digit": "the later digits of a number",
    "year": "digits of years, as in *2014*",
    "capitalised": "capitalised words",
    "capital": "single capital letters",
    "upper": "words in capitals",
    "lower": "words in lower case",
    "first-piece": "the first piece of a word",
    "later-piece": "later pieces of a word",
    "mark": "punctuation marks",
    "sentence-end": "full stops and other ends of a sentence",
    "opening": "opening brackets and quotation marks",
    "closing": "closing brackets and quotation marks",
    "symbol": "symbols, as in code",
    "line-break": "line breaks",
    "blank-line": "line breaks before an empty line",
    "space": "white space",
    "accented": "words with accented letters",
    "non-latin": "words in a script other than Latin",
    "repeated": "words that came before in the text",
    "long": "words of ten letters or more",
}
"""The classes and how they read as a noun phrase."""
PLACES: Mapping[str, str] = {
    "sentence": "at the start of a sentence",
    "second": "as the second word of a sentence",
    "line": "at the start of a line",
    "list": "after a list mark",
    "quotes": "inside quotation marks",
    "brackets": "inside brackets",
}
"""The places and how they read."""
WITH_CLASS: Mapping[str, str] = {
    "digit": "that are digits",
    "first-digit": "that begin a number",
    "later-digit": "inside a number",
    "year": "in a year, as in *2014*",
    "capitalised": "with a capital letter",
    "capital": "as a single capital letter",
    "upper": "in capitals",
    "lower": "in lower case",
    "first-piece": "at the start of a word",
    "later-piece": "inside a word",
    "mark": "as a punctuation mark",
    "sentence-end": "at the end of a sentence",
    "opening": "before a bracket or quotation",
    "closing": "that close a bracket or quotation",
    "symbol": "among symbols",
    "line-break": "at a line break",
    "blank-line": "before an empty line",
    "space": "as white space",
    "accented": "with accented letters",
    "non-latin": "in a script other than Latin",
    "repeated": "that came before in the text",
    "long": "of ten letters or more",
}
"""The classes, as they read after a noun."""
