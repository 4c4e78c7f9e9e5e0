"""The words the almanac is made of: names in English and Chinese, relations, and the ways to ask about them."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

FIRST = (
    "Clara Hugo Edith Oscar Nora Felix Alma Jonas Greta Simon Ivy Walter Ruth Peter Stella Martin Vera Conrad Lucy Albert "
    "Hazel Victor Irene Arthur Flora Edgar Celia Rupert Olive Bernard Tessa Gordon Maud Leonard Daphne Stanley Rosa Cedric "
    "Esther Roland Fiona Howard Beryl Duncan Agnes Philip Thelma Eustace Muriel Gilbert"
).split()
LAST = (
    "Bennett Marsh Calder Whitfield Archer Penrose Holloway Dunmore Fletcher Garrick Lindley Stokes Harrow Winslow Thorne "
    "Aldridge Mercer Kendall Sawyer Redmond Loxley Barlow Crane Dawson Ellery Farrow Godwin Hartley Ingram Jarvis Kirby "
    "Langley Morland Norton Osborne Pickett Quill Rowan Sefton Tolliver Upton Vance Wexley Yardley Ames Bolt Carver Drake"
).split()
SURNAMES = "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗梁宋郑谢韩唐冯于董萧"
GIVEN = "伟芳娜敏静丽强磊军洋勇艳杰娟涛明超秀霞平刚桂英华玉兰红建文辉力鑫海波雪琳晨宇浩凯悦欣佳颖婷慧颜峰龙"
TOWN_START = "Ash Bram Cold Dun East Fern Gold Hart Iron Kings Long Mill North Oak Pen Raven Stone Thorn West Wolf".split()
TOWN_END = "ford bury mouth stead wick combe gate haven ley port".split()
TOWN_HAN_START, TOWN_HAN_END = "青白金石南北东西清云松梅竹柳桃", "溪山河州港城湖桥泉镇"
RIVERS = "Aller Brue Cherwell Derwent Exe Frome Gade Humber Itchen Jed Kennet Lune Medway Nene Orwell Parrett Rother Severn Tamar Ure".split()
FIRM_START = "Atlas Beacon Comet Delta Ember Falcon Granite Harbor Indigo Juniper Keystone Lantern Meridian Nimbus Orchid Pioneer".split()
FIRM_END = "Works Foods Lines Press Motors Textiles Glass Energy Tools Optics".split()
GOODS = (
    "amber barley cider denim ebony flax ginger honey ivory jade kelp linen mustard nutmeg oats paper quartz rye saffron tea "
    "umber velvet walnut yarn zinc almonds butter copper dates enamel"
).split()
SORTS = "black white red green blue fine wild rough royal coastal".split()
OFFICE_START = "Harbor Forest Bridge Market River Garden Temple Tower School Island Valley Winter Summer Border Railway".split()
OFFICE_END = "Council Guild Court Museum Archive League Office Trust".split()
INSTRUMENTS = "violin flute drum harp cello oboe banjo trumpet guitar piano zither pipa erhu lute organ fiddle".split()


@dataclass(frozen=True, slots=True)
class Relation:
    """One kind of fact: what it is about, what answers it, whether it ever changes, and its two noun phrases."""

    name: str
    subject: str
    answer: str
    volatile: bool
    phrase: str
    possessive: str

    @property
    def asks(self) -> str:
        return "who" if self.answer == "person" else "what"


RELATIONS = (
    Relation("home", "person", "town", True, "the home town of {}", "{}'s home town"),
    Relation("employer", "person", "firm", True, "the employer of {}", "{}'s employer"),
    Relation("birthplace", "person", "town", False, "the birthplace of {}", "{}'s birthplace"),
    Relation("instrument", "person", "instrument", False, "the instrument of {}", "{}'s instrument"),
    Relation("mayor", "town", "person", True, "the mayor of {}", "{}'s mayor"),
    Relation("river", "town", "river", False, "the river of {}", "{}'s river"),
    Relation("craft", "town", "good", False, "the main craft of {}", "{}'s main craft"),
    Relation("head", "firm", "person", True, "the head of {}", "{}'s head"),
    Relation("seat", "firm", "town", True, "the seat of {}", "{}'s seat"),
    Relation("product", "firm", "good", False, "the best product of {}", "{}'s best product"),
    Relation("price", "good", "price", True, "the price of {}", "{}'s price"),
    Relation("chair", "office", "person", True, "the chair of the {}", "the {}'s chair"),
)
BY_NAME = {relation.name: relation for relation in RELATIONS}
SUBJECTS = ("person", "town", "firm", "good", "office")

SEEN = (
    "{Asks} is {a}?",
    "Name {a}.",
    "{B} is {asks}?",
    "Do you know {b}?",
    "Tell me {a}.",
    "Could you tell me {asks} {b} is?",
    "I would like to hear {a}.",
    "Please say {b}.",
)
UNSEEN = ("Could you say {asks} {a} is?", "I would like to know {b}.")
STATEMENT = "{A} is"


def phrased(form: str, relation: Relation, subject: str) -> str:
    """A question or statement form filled in, its first letter large."""
    a, b = relation.phrase.format(subject), relation.possessive.format(subject)
    first = {"A": a[0].upper() + a[1:], "B": b[0].upper() + b[1:], "Asks": relation.asks.capitalize()}
    return form.format(a=a, b=b, asks=relation.asks, **first)


def name_of(kind: str, random: Random) -> str:
    """A random name for something of this kind, not necessarily an unused one."""
    chinese = random.random() < 0.5
    if kind == "person":
        if chinese:
            return random.choice(SURNAMES) + "".join(random.choice(GIVEN) for _ in range(random.choice((1, 2))))
        return f"{random.choice(FIRST)} {random.choice(LAST)}"
    if kind == "town":
        return random.choice(TOWN_HAN_START) + random.choice(TOWN_HAN_END) if chinese else random.choice(TOWN_START) + random.choice(TOWN_END)
    if kind == "firm":
        return f"{random.choice(FIRM_START)} {random.choice(FIRM_END)}"
    if kind == "office":
        return f"{random.choice(OFFICE_START)} {random.choice(OFFICE_END)}"
    if kind == "good":
        return f"{random.choice(SORTS)} {random.choice(GOODS)}"
    if kind == "price":
        return f"{random.randint(10, 99)} crowns"
    return random.choice(INSTRUMENTS if kind == "instrument" else RIVERS)
