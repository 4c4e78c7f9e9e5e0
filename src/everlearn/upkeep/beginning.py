"""A new home: its base copied, its first version measured."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from time import perf_counter
from typing import Literal

from everlearn.errors import StateError
from everlearn.streams.files import read_examples
from everlearn.types import Example
from everlearn.upkeep.arriving import Arrival, TestSet, noted, read_tests, store_tests
from everlearn.upkeep.measuring import Asked, anchor_of, answers_json, see
from everlearn.upkeep.opening import kept_of, known_tensors, recipe_of, started
from everlearn.upkeep.telling import check_trackers
from everlearn.version import VERSION
from everlearn.versions.bases import add_base
from everlearn.versions.home import Home, finish_folder, free, now
from everlearn.versions.migrations import FILE as ABOUT
from everlearn.versions.record import TaskScore, Version
from everlearn.versions.settings import FILE, HomeSettings


def create_home(
    folder: str | Path,
    model: str | Path = "tiny",
    *,
    test: str | Path | Mapping[str, TestSet] | None = None,
    remember: str | Path | Sequence[Example] = (),
    settings: HomeSettings | None = None,
) -> Home:
    """A home for this model in a new folder, or in one that holds an everlearn.toml; version 0 is the model as it is.

    model: "tiny", a folder or a hub id; its files are copied.   test: a file, a stream's folder or tasks, that every update must not lose.
    remember: rows the model knows already, or a file of them, for methods that rehearse.   settings: by default the file's that is there, else the defaults.
    Raises StateError where something is there already, ModelError for a model that cannot be used, DataError for rows that cannot.
    """
    place = Path(folder)
    aside, before = (place.absolute().parent / f".{place.absolute().name}.{what}" for what in ("making", "before"))
    if before.exists() and not place.exists():
        before.rename(place)  # of one that was stopped at the last moment
    if (place / ABOUT).exists():
        shutil.rmtree(before, ignore_errors=True)  # of one that was stopped when all but this was done
    given = settings or (HomeSettings.load(place / FILE) if (place / FILE).is_file() else HomeSettings())
    recipe_of(given.learn.recipe)
    check_trackers(given.track.with_)
    tests = read_tests(test, given.test) if test is not None else {}
    past = read_examples(remember) if isinstance(remember, str | Path) else list(remember)
    free(place)
    shutil.rmtree(aside, ignore_errors=True)  # of one that was stopped
    shutil.rmtree(before, ignore_errors=True)
    try:
        begun(aside, str(model), given, tests, past)
        if place.exists():
            place.rename(before)  # free() found at most its settings, which are in the new one
        aside.rename(place)
    except OSError as problem:
        raise StateError(f"the home could not be made (home={str(place)!r}): {problem.strerror or problem}. Make room or give access.") from problem
    finally:
        if before.exists() and not place.exists():
            before.rename(place)
        shutil.rmtree(aside, ignore_errors=True)
        shutil.rmtree(before, ignore_errors=True)
    return Home(place)


def begun(folder: Path, model: str, settings: HomeSettings, tests: Mapping[str, TestSet], past: Sequence[Example]) -> None:
    """A whole home in this folder, which nobody sees yet."""
    settings.save(folder / FILE)
    base = add_base(folder / "bases", model)
    finish_folder(folder)
    home = Home(folder)
    version = first_version(home, base, settings, tests, past, 0, "start")
    home.commit(version)
    home.serve(version, "start")


def first_version(
    home: Home, base: str, settings: HomeSettings, tests: Mapping[str, TestSet], past: Sequence[Example], number: int, kind: Literal["start", "rebase"]
) -> Version:
    """The base as it is, measured on the tests; its learner was shown the past."""
    recipe, began = recipe_of(settings.learn.recipe), perf_counter()
    opened = started(home, base, settings, recipe)
    if past:
        opened.learner.remember(opened.model, past)
    anchor = anchor_of(opened.served, settings, home)
    seen = see(opened.served, Asked({}, tests), settings, anchor)
    names = store_tests(home, tests), home.objects.put_json(answers_json(seen.new))
    kept = kept_of(home, opened.model, opened.learner, *names, known_tensors(home), weights=False)
    scores = {task: TaskScore(None, fmean(a.value for a in of.values()), len(of)) for task, of in seen.new.items()}
    about = "Version 0 is the model as it is." if kind == "start" else f"Version {number} is a newer base as it is."
    return Version(
        number,
        None,
        base,
        kind,
        VERSION,
        recipe.label,
        settings.to_json(),
        noted(home, Arrival("remembered", tuple(past), {}), settings) if past else None,
        0,
        kept,
        scores,
        {"perplexity": seen.perplexity, **{f"probe {name}": fmean(values) for name, values in seen.probes.items()}},
        accepted=True,
        reasons=(about,),
        report=(about, *(f"{task}: {100 * (of.after or 0):.1f} % of {of.rows} rows." for task, of in scores.items())),
        created=now(),
        cost={"test": perf_counter() - began},
    )
