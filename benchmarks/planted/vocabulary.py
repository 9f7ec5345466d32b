"""What the planted units are made of: kinds of words, places in a sentence, and what goes with what."""

from __future__ import annotations

from benchmarks.planted.rules import WORD, position

KINDS: dict[str, tuple[str, ...]] = {
    name: tuple(members.split())
    for name, members in {
        "colours": "red black golden white blue green silver brown pink",
        "members of a family": "children mother parents father husband wife brother daughter grandmother son",
        "times of day": "night morning evening dawn midnight afternoon",
        "animals": "cat horse dog fish spider cats dogs elephant birds bear wolf bees lion",
        "parts of the body": "eyes heart face hand hands head feet skin hair arms",
        "numbers": "two three four five ten seven eight six",
        "food and drink": "coffee food chocolate bread cheese rice sugar meat soup",
        "money": "money pay dollars cost price tax budget payment",
        "law": "legal law court rights justice contract judge",
        "weather": "wind weather snow storm clouds rain",
        "waters and shores": "sea island river beach ocean waves shore",
        "programs": "python code function return data import string",
        "medicine": "health medical hospital doctor medicine disease patients nurse",
        "schools": "school students university learning class student teachers",
        "countries": "india china france japan england germany italy africa america spain",
        "cities": "paris london tokyo rome chicago boston",
        "feelings": "love joy hope happy fear",
        "music and dance": "music dance song songs guitar piano",
        "the sky": "earth sun moon planet stars mars space",
        "first names": "sarah john emily alex max",
        "a contrast": "however yet despite though instead although",
        "travelling": "journey travel visit road trip flight hotel",
        "sizes": "small little big large tiny huge",
        "trade": "business company market industry customers products",
        "quantities": "few several numerous many",
        "saying": "said told asked whispered",
        "buildings": "room house kitchen building walls garden door window",
        "war and peace": "war battle military peace army soldiers",
        "energy": "energy solar power oil fuel electricity gas",
        "doubt": "maybe perhaps might seems probably",
    }.items()
}
WIDER = {
    "colours": "sizes",
    "members of a family": "first names",
    "countries": "cities",
    "numbers": "quantities",
    "waters and shores": "weather",
    "energy": "money",
    "medicine": "parts of the body",
    "saying": "feelings",
}
"""Kinds of words that are planted, and the kind that a broader explanation adds."""
SINGLE = {
    "city": ("countries", "of"),
    "love": ("parts of the body", "to"),
    "technology": ("programs", "and"),
    "water": ("waters and shores", "and"),
    "history": ("schools", "of"),
    "story": ("music and dance", "of"),
    "team": ("trade", "of"),
    "family": ("members of a family", "and"),
}
"""A word, words like it that a broader explanation takes in, and what a narrower one wants to come next."""
PHRASES = {
    "such as": ("such", "such as the", "due to"),
    "one of the": ("one", "one of the most", "some of the"),
    "due to": ("due", "due to the", "such as"),
    "based on": ("based", "based on the", "depending on"),
    "climate change": ("climate", "climate change is", "solar energy"),
    "the importance of": ("importance", "the importance of a", "the use of"),
    "those who": ("those", "those who are", "people who"),
}
"""A phrase, the word that a broader explanation keeps of it, a longer phrase, and another one."""
COMMA = position("the first word after a comma", rf"(?<=,\s){WORD}", "and|but|i")
SENTENCE = position("the first word of a sentence", r"(?<=[.!?]\s)(?-i:[A-Z])[\w'’]*", "the|it")
BRACKET = position("the first word after an opening bracket", rf"(?<=\(){WORD}")
COLON = position("the first word after a colon", rf"(?<=:\s){WORD}", "the|a")
QUOTE = position("the first word inside quotation marks", rf"(?<=[\"“]){WORD}", "the|i")
QUESTION = position("the last word before a question mark", rf"{WORD}(?=\?)", "today|it|you")
EXCLAMATION = position("the last word before an exclamation mark", rf"{WORD}(?=!)", "there|hello")
BEGINNINGS = (COMMA, SENTENCE, BRACKET, COLON, QUOTE)
ENDS = (QUESTION, EXCLAMATION)
AFTER_SIGN = position("the first word after any sign of punctuation", rf"(?<=[,:;(.!?\"“])\s?{WORD}")
BEFORE_SIGN = position("the last word before any sign of punctuation", rf"{WORD}(?=[,:;).!?\"”])")
NARROWER = (
    position("the words 'and' and 'but' after a comma", r"(?<=,\s)(?:and|but)\b"),
    position("the words 'the' and 'it' at the start of a sentence", r"(?<=[.!?]\s)(?-i:The|It)\b"),
    position("a single letter after an opening bracket", r"(?<=\()\w\b"),
    position("an article after a colon", r"(?<=:\s)(?:the|a|an)\b"),
    position("the words 'the' and 'i' inside quotation marks", r"(?<=[\"“])(?:the|i)\b"),
    position("the words 'today' and 'you' before a question mark", r"\b(?:today|you)(?=\?)"),
    position("the words 'there' and 'hello' before an exclamation mark", r"\b(?:there|hello)(?=!)"),
)
TOPICS = {
    "legal matters": tuple("legal law court rights contract party parties agreement justice".split()),
    "computing": tuple("python code function return data string print import def".split()),
    "illness and care": tuple(
        "health medical hospital doctor medicine disease patients treatment care symptoms".split()
    ),
    "buying and selling": tuple(
        "company business market customers customer products product industry service sales".split()
    ),
    "the climate": tuple(
        "climate environment sustainable energy change emissions renewable environmental pollution".split()
    ),
    "games": tuple("team game players play won match football sport win".split()),
}
"""Words of which passages about something hold several."""
ROLES = {"of": "part", "to": "want", "who": "those", "can": "you", "as": "such", "is": "this"}
"""A word, and one that often stands before it."""
FACETS = (
    ("colours", "money", "saying"),
    ("animals", "schools", "doubt"),
    ("countries", "feelings", "numbers"),
    ("the sky", "saying", "money"),
    ("food and drink", "war and peace", "cities"),
    ("parts of the body", "travelling", "programs"),
    ("law", "waters and shores", "feelings"),
    ("numbers", "medicine", "colours"),
)
"""Two kinds of words that have nothing to do with each other, and a third."""
TOGETHER = (
    ("world", "has", "you"),
    ("people", "their", "you"),
    ("day", "my", "your"),
    ("support", "your", "we"),
    ("help", "we", "my"),
    ("new", "they", "this"),
)
"""A word, another that has to be in the passage, and one for which that could be mistaken."""
RARE = {"village": "river", "island": "beach", "summer": "morning", "horizon": "shore", "laughter": "smile"}
"""A rare word, and another."""
DENSE = (("the",), ("the", "a"), ("to", "of"), ("and", "in", "it"))
NOISY = {
    "sizes": 0.0035,
    "the sky": 0.003,
    "buildings": 0.002,
    "trade": 0.005,
    "travelling": 0.0025,
    "schools": 0.002,
}
"""Kinds of words, and a tenth of the share of passages that have some."""
