"""The prompts of the demo corpus: every text form times every topic, in an order shuffled with a fixed seed.

Print every prompt, one a line, in that order:

    python scripts/corpus_prompts.py
"""

from __future__ import annotations

import itertools
import random

PROMPT_SEED = 0
"""Seed of the shuffle; the shipped corpus was made with it."""

FORMS = {
    "news": "Write a short news report about {t}.",
    "encyclopedia": "Write an encyclopedia entry about {t}.",
    "e-mail": "Write a friendly e-mail in which someone asks about {t}.",
    "dialogue": "Write a dialogue between two people who disagree about {t}.",
    "instructions": "Write step-by-step instructions concerning {t}.",
    "diary": "Write a diary entry that mentions {t}.",
    "review": "Write a product review or a complaint related to {t}.",
    "exam": "Write three exam questions about {t}, with their answers.",
    "story": "Write a short story whose setting involves {t}.",
    "paper": "Write the introduction of a scientific paper about {t}.",
    "poem": "Write a poem about {t}.",
    "speech": "Write a speech that argues for more attention to {t}.",
    "list": "Write a list of ten facts, dates or numbers about {t}.",
    "code": "Write a short Python program with comments whose theme is {t}.",
    "law": "Write a legal notice or a contract clause that concerns {t}.",
    "support": "Write a conversation with a customer-support agent about {t}.",
}
"""What kind of text is asked for; `{t}` is the topic."""

TOPICS = tuple(
    topic.strip()
    for topic in """
black holes; the water cycle; volcanoes and earthquakes; bird migration; coral reefs; wolves;
bees and pollination; dinosaurs; bacteria and antibiotics; vaccines;
the human heart; diabetes; sleep; allergies; broken bones; dental care; pregnancy; mental health;
first aid; eye surgery;
bread baking; chocolate; coffee; cheese; soup recipes; sushi; school lunches; wine; spices;
vegetable gardens;
football; the Olympic Games; chess; swimming; cycling; mountain climbing; boxing; tennis; yoga; basketball;
the Roman Empire; ancient Egypt; the French Revolution; the First World War; the Silk Road;
the Renaissance; Vikings; the moon landing; the printing press; the Cold War;
Paris; Tokyo; Nairobi; the Amazon river; Antarctica; New York; Mumbai; the Sahara; Iceland;
the Mediterranean Sea;
elections; parliament; taxes; immigration; human rights; police work; courts and juries; town councils;
diplomacy; the military;
inflation; banks and loans; the stock market; start-up companies; unions and strikes; insurance;
real estate; retirement savings; supply chains; advertising;
prime numbers; probability and dice; geometry of triangles; calculus; fractions; statistics and surveys;
graph theory; matrices; logic puzzles; units of measurement;
electric cars; trains; airplanes; bicycles; ships and harbours; rockets; traffic jams; bridges; tunnels;
drones;
the Python language; databases; computer viruses; machine learning; mobile phones; video games; web pages;
encryption; keyboards; open-source software;
solar panels; nuclear power; oil and gas; batteries; wind turbines; recycling; air pollution;
climate change; rain forests; drinking water;
painting; jazz; the violin; cinema; theatre; photography; architecture; poetry; fashion; sculpture;
kings and queens; knights; pirates; dragons; ghosts; detectives; magicians; superheroes; time travel; robots;
weddings; birthdays; funerals; friendship; parents and children; divorce; grandparents; neighbours; pets;
dating;
kindergarten; university; teachers; libraries; homework; exams; languages; spelling; dictionaries; reading;
Christmas; Ramadan; Buddhism; Hinduism; Judaism; churches; prayer; pilgrimage; myths of Greece; angels;
Monday mornings; the weather forecast; winter snow; summer heat; autumn leaves; thunderstorms;
the colour red; darkness; silence; smells;
hotels; airports; passports; beaches; camping; maps; museums; souvenirs; restaurants; taxis;
furniture; plumbing; paint; keys and locks; kitchens; laundry; tools; roofs; lamps; carpets;
job interviews; salaries; meetings; deadlines; managers; farmers; nurses; firefighters; carpenters;
journalists;
fear; anger; hope; shame; curiosity; boredom; loneliness; pride; jealousy; gratitude;
lying and honesty; free will; justice; beauty; the meaning of life; animal rights; privacy; censorship;
war and peace; poverty;
cats; dogs; horses; elephants; sharks; spiders; snakes; butterflies; owls; mice;
trees; roses; mushrooms; wheat; rice; apples; bananas; potatoes; grapes; tobacco;
gold; iron; diamonds; plastic; glass; paper; cotton; wool; leather; concrete;
January; weekends; clocks; calendars; centuries; deadlines in law; anniversaries; seasons; sunrise; midnight;
London; Berlin; Moscow; Beijing; Sydney; Cairo; Rio de Janeiro; Toronto; Istanbul; Seoul;
Shakespeare; Albert Einstein; Marie Curie; Isaac Newton; Cleopatra; Mozart; Napoleon; Gandhi; Darwin;
Leonardo da Vinci;
crime; prison; theft; fraud; murder trials; kidnapping; smuggling; fingerprints; witnesses; bail
""".split(";")
)
"""Three hundred topics, from all walks of life."""


def prompts(seed: int = PROMPT_SEED) -> dict[str, tuple[str, str]]:
    """Form and topic of each prompt, in shuffled order."""
    pairs = [
        (template.format(t=topic), (form, topic))
        for (form, template), topic in itertools.product(FORMS.items(), TOPICS)
    ]
    random.Random(seed).shuffle(pairs)
    return dict(pairs)


if __name__ == "__main__":
    print("\n".join(prompts()))
