"""`everlearn app`: the three applications, each on a generated default or on your files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from everlearn.applications.record import Record

app = typer.Typer(no_args_is_help=True, help="News recommendation, customer service and translation over time, on a generated default or on your files.")

Model = Annotated[str, typer.Option(help="'tiny' (embedded), a model's folder, or a hub id.")]
Methods = Annotated[str, typer.Option(help="Runs, separated by commas; + joins methods.")]
Passes = Annotated[int, typer.Option(help="Passes over each period's new rows.")]
Rate = Annotated[float, typer.Option(help="AdamW's learning rate.")]
Batch = Annotated[int, typer.Option(help="New rows a step; remembered ones come on top.")]
Seed = Annotated[int, typer.Option(help="Of the generated default, of drawn candidates and of the order of rows.")]
Device = Annotated[str | None, typer.Option(help="Such as cpu or cuda:0; by default the accelerator, if there is one.")]


@app.command()
def recommendation(
    data: Annotated[
        Path | None, typer.Argument(help="A folder in MIND's or MovieLens' layout, or a stream with ranking tasks; by default a generated one.")
    ] = None,
    model: Model = "tiny",
    methods: Methods = "frozen,plain,keep_current",
    out: Annotated[Path, typer.Option(help="Folder for record.json and report.html.")] = Path("runs/recommendation"),
    by: Annotated[str, typer.Option(help="How items are ranked: likelihood or embedding.")] = "likelihood",
    period: Annotated[str, typer.Option(help="day, week, month or year; by default what the layout asks for.")] = "",
    history: Annotated[int, typer.Option(help="Items of a reader's past in a prompt, the last ones.")] = 5,
    asked: Annotated[int, typer.Option(help="At most so many impressions ranked a period; 0 for all.")] = 0,
    learned: Annotated[int, typer.Option(help="At most so many impressions learned from a period; 0 for all.")] = 0,
    last: Annotated[int, typer.Option(help="Only the last so many periods; 0 for all.")] = 0,
    shown: Annotated[int, typer.Option(help="MovieLens: candidates of an impression, the film that was liked among them.")] = 20,
    negatives: Annotated[str, typer.Option(help="MovieLens: candidates drawn as 'popular' (as often as liked) or 'uniform'.")] = "popular",
    most_missing: Annotated[float, typer.Option(help="Share of the candidates that may have no text; they are left out.")] = 0.0,
    rate: Rate = 5e-4,
    passes: Passes = 3,
    batch: Batch = 8,
    seed: Seed = 0,
    device: Device = None,
) -> None:
    """A model ranks what readers are shown and learns, period by period, what they chose."""
    from everlearn.applications.feeds import read_feed
    from everlearn.applications.following import Start
    from everlearn.applications.recommendation import Ranking, recommend
    from everlearn.cli.progress import bar
    from everlearn.learn.settings import Settings

    given, usual = read_feed(data, shown, negatives, seed)
    how = Ranking(by, period or usual, history, asked, learned, last, most_missing)  # type: ignore[arg-type]
    with bar() as progress:
        record = recommend(given, methods, Start(model, Settings(rate, passes, batch), seed, device=device), how, progress)
    _told(record, out)


@app.command()
def translation(
    data: Annotated[Path | None, typer.Argument(help="A stream of translations, or a folder with a file of pairs a domain; by default generated.")] = None,
    glossary: Annotated[Path | None, typer.Option(help="Terms: .jsonl, .csv or .tsv with source, target, language, since.")] = None,
    model: Model = "tiny",
    methods: Methods = "frozen,plain,keep_current",
    out: Annotated[Path, typer.Option(help="Folder for record.json and report.html.")] = Path("runs/translation"),
    rate: Rate = 7e-4,
    passes: Passes = 12,
    batch: Batch = 8,
    seed: Seed = 0,
    device: Device = None,
) -> None:
    """A model learns languages and domains one after the other, obeys a glossary at once, and learns its terms later."""
    from everlearn.applications.following import Start
    from everlearn.applications.glossary import Glossary, read_glossary
    from everlearn.applications.pairs import read_translations
    from everlearn.applications.phrases import phrases
    from everlearn.applications.translation import translate
    from everlearn.cli.progress import bar
    from everlearn.learn.settings import Settings

    stream, terms = (read_translations(data), Glossary(())) if data is not None else phrases(seed)
    terms = read_glossary(glossary) if glossary is not None else terms
    with bar() as progress:
        record = translate(stream, terms, methods, Start(model, Settings(rate, passes, batch), seed, device=device), progress)
    _told(record, out)


@app.command()
def support(
    data: Annotated[Path | None, typer.Argument(help="A folder with policies.jsonl and questions.jsonl; by default a generated one.")] = None,
    model: Model = "tiny",
    methods: Methods = "frozen,plain,keep_current",
    out: Annotated[Path, typer.Option(help="Folder for record.json and report.html.")] = Path("runs/support"),
    precision: Annotated[float, typer.Option(help="Share of the answers that are to be right; the rest is handed to a person.")] = 0.9,
    rate: Rate = 3e-4,
    passes: Passes = 5,
    batch: Batch = 16,
    seed: Seed = 0,
    device: Device = None,
) -> None:
    """Policies change; a desk cites the one that holds and hands over what it is not sure of, beside models that learn the answers."""
    from everlearn.applications.following import Start
    from everlearn.applications.service import read_service
    from everlearn.applications.shop import shop
    from everlearn.applications.support import serve_customers
    from everlearn.cli.progress import bar
    from everlearn.learn.settings import Settings

    service = shop(seed) if data is None else read_service(data)
    with bar() as progress:
        record = serve_customers(service, methods, Start(model, Settings(rate, passes, batch), seed, device=device), precision, progress)
    _told(record, out)


def _told(record: Record, out: Path) -> None:
    """Save the record and its page, and print the table."""
    import shlex
    import sys

    from everlearn.applications.record import terminal_table
    from everlearn.cli.console import console
    from everlearn.errors import MissingExtra
    from everlearn.report.application import write_application_page

    record.command = shlex.join(["everlearn", *sys.argv[1:]])
    record.save(out / "record.json")
    shown = console()
    shown.print(terminal_table(record))
    for note in record.notes:
        shown.print(note, soft_wrap=True, markup=False)
    try:
        page = f"The page: {write_application_page(out / 'report.html', record.to_json())}"
    except MissingExtra as missing:
        page = f"No page was written: {missing}"
    shown.print(f"Written to {out / 'record.json'}. {page}", soft_wrap=True, markup=False)
