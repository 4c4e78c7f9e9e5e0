"""The three applications on real data with a small real model: each one's curve over time, everlearn against plain and frozen.

    python benchmarks/applications.py DATA --streams STREAMS --model models/news2016 [--only ids films news ...]
        [--write benchmarks/results/applications.json]

DATA holds the data sets as JSONL: films (movielens_small), impressions (mind_news_rec), news (news_events), terms (tico19_medical), strings
(element_software), customers' questions (bitext_customer_support, clinc150). STREAMS holds the stream `translation`. One seed and small samples: minutes, and
no claim about sizes. What --write holds already is not run again.
"""

from __future__ import annotations

import argparse
import gzip
import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from time import process_time
from typing import Any

from everlearn import Settings, load_stream
from everlearn.applications.following import Start
from everlearn.applications.glossary import Glossary, Term, language_of, placeholders, uses
from everlearn.applications.impressions import Item
from everlearn.applications.mind import read_mind
from everlearn.applications.movielens import read_movielens
from everlearn.applications.obeying import asked_for
from everlearn.applications.pairs import Pair, domain
from everlearn.applications.readers import Readers, simulated
from everlearn.applications.recommendation import Ranking, baselines_alone, recommend
from everlearn.applications.record import Record
from everlearn.applications.service import Policy, Question, Service
from everlearn.applications.support import serve_customers
from everlearn.applications.translation import translate
from everlearn.results import write_json

METHODS = "frozen,plain,keep_current"
PARTS_OF = ("train", "train", "train", "train", "live", "valid", "test", "test")  # of each matter's questions, dealt out in turn


def rows(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        yield from map(json.loads, file)


def films(given: argparse.Namespace) -> Record:
    """MovieLens in its own layout: the likes of the last years, each among nineteen films drawn as often as they were liked."""
    folder = Path(tempfile.mkdtemp())
    source = given.data / "movielens_small"
    with (folder / "movies.dat").open("w", encoding="utf-8") as file:
        file.writelines(f"{row['id']}::{row['title']}::{'|'.join(row['genres'])}\n" for row in rows(source / "items.jsonl.gz"))
    known = {row["id"] for row in rows(source / "items.jsonl.gz")}
    with (folder / "ratings.dat").open("w", encoding="utf-8") as file:
        for row in rows(source / "ratings_1996_to_2016.jsonl.gz"):
            seconds = int(datetime.fromisoformat(row["time"]).replace(tzinfo=UTC).timestamp())
            file.write(f"{row['user']}::{row['item']}::{row['rating']}::{seconds}\n" if row["item"] in known else "")
    how = Ranking(period="year", history=4, asked=60, learned=120, last=6)
    return recommend(replace(read_movielens(folder, negatives=given.negatives), name="MovieLens"), METHODS, start(given, 3), how)


def news(given: argparse.Namespace) -> Record:
    """Real news of 2019 by month, in ten categories, and readers who are simulated: what they click is known to follow their interests."""
    months: dict[str, list[Item]] = {}
    for at, row in enumerate(rows(given.data / "news_events" / "2019.jsonl.gz")):
        if row["category"] and len(row["body"]) >= 40:
            months.setdefault(row["date"][:7] + "-01", []).append(Item(f"A{at}", row["body"][:80].rsplit(" ", 1)[0], row["category"]))
    articles = [(month, items[:: max(1, len(items) // 40)][:40]) for month, items in sorted(months.items())][:5]
    feed = simulated("news of 2019", articles, Readers(count=40, visits=50, shown=10, fresh=1), "real news, SIMULATED readers whose interests drift")
    return recommend(feed, METHODS, start(given, 3), Ranking(period="month", history=3, asked=24, learned=20))


def ids(given: argparse.Namespace) -> Record:
    """MIND's own layout, read from its two files; of its impressions too few have texts, so the baselines alone rank them, by ids."""
    folder, source = Path(tempfile.mkdtemp()), given.data / "mind_news_rec"
    with (folder / "news.tsv").open("w", encoding="utf-8") as file:
        file.writelines(f"{row['id']}\t{row['category']}\t{row['subcategory']}\t{row['title']}\n" for row in rows(source / "items.jsonl.gz"))
    with (folder / "behaviors.tsv").open("w", encoding="utf-8") as file:
        for at, row in enumerate(rows(source / "impressions_2019-11-09_to_13.jsonl.gz"), 1):
            time = datetime.fromisoformat(row["time"]).strftime("%m/%d/%Y %I:%M:%S %p")
            shown = " ".join(f"{name}-{int(name in row['clicked'])}" for name in dict.fromkeys([*row["candidates"], *row["clicked"]]))
            file.write(f"{at}\t{row['user']}\t{time}\t{' '.join(row['history'])}\t{shown}\n")
    return baselines_alone(replace(read_mind(folder), name="MIND, five days"), Ranking())


def translation(given: argparse.Namespace) -> Record:
    """Medicine into French, then software into German, with sentences that have medicine's terms and strings with placeholders.

    Of the glossary the terms in these sentences; the frozen model is the first column, "before".
    """
    stream = load_stream(given.streams / "translation")
    domains = [e for e in stream if e.name in ("medicine-fr", "software-de")]
    small = [replace(e, train=e.train[:60], tests={task: of[:6] for task, of in e.tests.items()}) for e in domains]
    codes = ("de", "fr")
    glossary = Glossary(
        Term(r["src"], r["tgt"], language_of(r["tgt_lang"])) for code in codes for r in rows(given.data / "tico19_medical" / f"terms.en-{code}.jsonl.gz")
    )
    french = [pair for pair in pairs(given.data / "tico19_medical" / "en-fr.jsonl.gz", "French") if told(glossary, pair)]
    strings = [pair for pair in pairs(given.data / "element_software" / "en-de.jsonl.gz", "German") if placeholders(pair.source)]
    more = domain("terms-fr", french[:8]), domain("placeholders-de", strings[:: len(strings) // 8][:8])
    asked = [asked_for(e.prompt or "") for experience in (*small, *more) for of in experience.tests.values() for e in of]
    known = Glossary(dict.fromkeys(term for one in asked if one for term in glossary.found_in(one[1], one[0])))
    return translate(replace(stream, experiences=(*small, *more)), known, "plain,keep_current", start(given, 3))


def pairs(path: Path, language: str) -> list[Pair]:
    """The short test pairs of a file."""
    return [Pair(r["src"], r["tgt"], language, True) for r in rows(path) if r["split"] == "test" and len(r["src"]) < 100]


def told(glossary: Glossary, pair: Pair) -> bool:
    """Whether the reference uses a term that the glossary has for its source."""
    return any(uses(pair.target, term.target) for term in glossary.found_in(pair.source, pair.language))


def policy(given: argparse.Namespace, methods: str = "") -> Record:
    """Bitext: the standing answers to 21 matters of a shop, of which ten are replaced; CLINC150's out-of-scope questions are nobody's."""
    by: dict[str, list[dict[str, Any]]] = {}
    for row in rows(given.data / "bitext_customer_support" / "answer_updates.jsonl.gz"):
        by.setdefault(row["intent"], []).append(row)
    policies, questions = list[Policy](), list[Question]()
    for at, (matter, of) in enumerate(sorted(by.items())):
        policies.append(Policy(matter, " ".join(of[0]["old_answer"].split()), "2023-01-01", "answers of 2023"))
        if at % 2:
            new = min((" ".join(row["answer"].split()) for row in of), key=lambda text: (len(text), text))
            policies.append(Policy(matter, new, "2024-01-01", "answers of 2024"))
        texts = dict.fromkeys(row["prompt"].removeprefix("Customer: ").removesuffix("\nAgent:") for row in of)
        chosen = list(texts)[:: max(1, len(texts) // 8)][:8]
        questions += [Question(text, matter, PARTS_OF[place % 8], "2023-01-01") for place, text in enumerate(chosen)]
    strange = [row["prompt"].split("Request: ")[1].removesuffix("\nIntent:") for row in rows(given.data / "clinc150" / "oos_test.jsonl.gz")][:90]
    questions += [Question(text, "", ("live", "valid", "test")[place % 3], "2023-01-01") for place, text in enumerate(strange)]
    about = "21 matters of a shop, ten of their answers replaced; 30 questions that are nobody's"
    return serve_customers(Service("Bitext", tuple(policies), tuple(questions), about=about), methods, start(given, 3))


def intents(given: argparse.Namespace) -> Record:
    """CLINC150: a domain a period, the answer is the intent's name; out-of-scope questions are nobody's. The desk alone."""
    train, valid, test = (list(rows(given.data / "clinc150" / f"{part}.jsonl.gz")) for part in ("train", "val", "test"))
    domains = sorted({row["domain"] for row in train})
    since = {name: f"{2020 + at}-01-01" for at, name in enumerate(domains)}
    policies = {(row["domain"], row["answer"]): Policy(f"{row['domain']}/{row['answer']}", row["answer"], since[row["domain"]], row["domain"]) for row in train}
    questions = [
        Question(row["prompt"].split("Request: ")[1].removesuffix("\nIntent:"), f"{row['domain']}/{row['answer']}", part, since[row["domain"]])
        for part, of, step in (("train", train, 14), ("live", train[3:], 140), ("valid", valid, 14), ("test", test, 21))
        for row in of[::step]
    ]
    strange = [row["prompt"].split("Request: ")[1].removesuffix("\nIntent:") for row in rows(given.data / "clinc150" / "oos_test.jsonl.gz")]
    questions += [Question(text, "", ("valid", "test")[place % 2]) for place, text in enumerate(strange[:100])]
    about = f"{len(policies)} intents in {len(domains)} domains, one more a period; 50 questions that are nobody's"
    return serve_customers(Service("CLINC150", tuple(policies.values()), tuple(questions), about=about), "", start(given, 3))


def start(given: argparse.Namespace, passes: int) -> Start:
    return Start(given.model, Settings(rate=5e-4, passes=passes, batch=16))


PARTS: dict[str, Callable[[argparse.Namespace], Record]] = {
    "ids": ids,
    "films": films,
    "news": news,
    "translation": translation,
    "policy": policy,
    "intents": intents,
    "policy models": lambda given: policy(given, METHODS),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--streams", type=Path, default=Path("streams"))
    parser.add_argument("--model", required=True)
    parser.add_argument("--only", nargs="*", default=list(PARTS))
    parser.add_argument("--negatives", default="popular")
    parser.add_argument("--write", type=Path)
    given = parser.parse_args()
    found: dict[str, Any] = json.loads(given.write.read_text(encoding="utf-8")) if given.write and given.write.exists() else {}
    for name in given.only:
        if name not in found:
            begun = process_time()
            record = PARTS[name](given)
            record.model, record.examples = Path(record.model).name, []  # of data that may not be passed on numbers alone
            found[name] = {**record.to_json(), "cpu_seconds": round(process_time() - begun, 1)}
            if given.write:
                write_json(given.write, found)
        shown = found[name]
        print(f"\n{name}: {shown['data']}, {shown['about']}, {shown['cpu_seconds']} CPU s", flush=True)
        for line in shown["lines"]:
            print(line["name"], {measure: [None if v is None else round(100 * v, 1) for v in of] for measure, of in line["curves"].items()}, flush=True)


if __name__ == "__main__":
    main()
