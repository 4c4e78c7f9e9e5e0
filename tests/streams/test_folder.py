"""Streams on disk: what loads, what is refused, and that what is saved comes back."""

from __future__ import annotations

import gzip
import json
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from everlearn.errors import DataError
from everlearn.streams.almanac import Almanac, almanac_base, almanac_stream
from everlearn.streams.folder import load_stream, save_stream
from everlearn.types import Example, Experience, Stream

SCORES = '[scores]\n"quiz" = "choice"\n"ask" = "exact"\n"text" = "loss"\n'
TOML = f'name = "towns"\nabout = "two of them"\n{SCORES}[chance]\n"quiz" = 0.5\n[times]\n"02-oslo" = "2024-05-31"\n'
QUIZ = Example(prompt="Rome?", completion=" Italy", choices=(" Italy", " Spain"))
ASK = Example(prompt="Oslo?", completion=" Norway", old_completion=" Sweden", until=2)


def write(file: Path, *examples: Example) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(example.to_json()) + "\n" for example in examples), encoding="utf-8")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two experiences: rome (quiz), oslo (ask, text, and rome's quiz again)."""
    root = tmp_path / "towns"
    write(root / "01-rome" / "train.jsonl", Example(text="Rome is in Italy.", task="quiz"))
    write(root / "01-rome" / "test.quiz.jsonl", QUIZ)
    write(root / "02-oslo" / "train.jsonl", Example(prompt="Oslo is in", completion=" Norway", task="ask"))
    write(root / "02-oslo" / "test.quiz.jsonl", QUIZ)
    write(root / "02-oslo" / "test.ask.jsonl", ASK)
    write(root / "02-oslo" / "valid.ask.jsonl", Example(prompt="Bergen?", completion=" Norway"))
    write(root / "02-oslo" / "test.text.jsonl", Example(text="Oslo is cold."))
    write(root / "base.jsonl", Example(text="Madrid is in Spain."))
    (root / "stream.toml").write_text(TOML, encoding="utf-8")
    return root


def toml(root: Path, old: str, new: str) -> None:
    assert old in TOML
    (root / "stream.toml").write_text(TOML.replace(old, new), encoding="utf-8")


def test_a_folder_gives_its_experiences_in_name_order_with_their_own_scores(root: Path) -> None:
    stream = load_stream(str(root))
    rome, oslo = stream
    assert (stream.name, stream.about, stream.base) == ("towns", "two of them", (Example(text="Madrid is in Spain."),))
    assert rome == Experience("rome", (Example(text="Rome is in Italy.", task="quiz"),), {"quiz": (QUIZ,)}, {"quiz": "choice"}, chance={"quiz": 0.5})
    assert (oslo.name, oslo.time, oslo.scores, oslo.chance) == ("oslo", "2024-05-31", {"ask": "exact", "quiz": "choice", "text": "loss"}, {"quiz": 0.5})
    assert (oslo.tests["ask"], [e.prompt for e in oslo.valid["ask"]]) == ((ASK,), ["Bergen?"])


def test_packed_files_csv_hidden_files_and_a_readme_are_fine(root: Path) -> None:
    before = load_stream(root)
    (root / "01-rome" / "train.jsonl.gz").write_bytes(gzip.compress((root / "01-rome" / "train.jsonl").read_bytes()))
    (root / "01-rome" / "train.jsonl").unlink()
    (root / "02-oslo" / "train.csv").write_text("prompt,completion,task\nOslo is in, Norway,ask\n")
    (root / "02-oslo" / "train.jsonl").unlink()
    for name in (".DS_Store", "README.md", "LICENSE", "01-rome/.hidden.jsonl"):
        (root / name).write_text("x")
    (root / ".git").mkdir()
    (root / "stream.toml").write_bytes(b"\xef\xbb\xbf" + TOML.replace("\n", "\r\n").encode())
    assert load_stream(root) == before


def test_only_leading_digits_with_a_dash_are_taken_from_a_name(tmp_path: Path) -> None:
    for name in ("01-2017-2020", "02-2021", "2022", "3-", "plain"):
        write(tmp_path / name / "train.jsonl", Example(text=name))
    (tmp_path / "stream.toml").write_text('name = "n"')
    assert [e.name for e in load_stream(tmp_path)] == ["2017-2020", "2021", "2022", "3-", "plain"]


def test_a_task_may_have_dots_in_its_name(root: Path) -> None:
    write(root / "01-rome" / "test.a.b.jsonl", ASK)
    toml(root, '"text" = "loss"', '"text" = "loss"\n"a.b" = "exact"')
    assert set(load_stream(root).experiences[0].tests) == {"quiz", "a.b"}


def test_a_path_that_is_no_stream_is_refused_with_what_is_near(root: Path) -> None:
    with pytest.raises(DataError, match="town does not exist. Did you mean 'towns'"):
        load_stream(root.parent / "town")
    with pytest.raises(DataError, match="xyz does not exist. Check the path, from "):
        load_stream(root.parent / "no" / "xyz")
    with pytest.raises(DataError, match="stream.toml is a file. A stream is a folder"):
        load_stream(root / "stream.toml")
    with pytest.raises(DataError, match="has no stream.toml. Streams in it: towns. Name one"):
        load_stream(root.parent)
    with pytest.raises(DataError, match="01-rome has no stream.toml. It gives the name"):
        load_stream(root / "01-rome")


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('name = "towns"', "name = towns", "stream.toml is not TOML"),
        ('name = "towns"', "", r"name and about must be text \(name=None, about='two of them'\)"),
        ('name = "towns"', 'name = ""', r"\(name='', "),
        ('about = "two of them"', "about = 2", r"about=2\)"),
        ('about = "two of them"', 'abuot = ""', "unknown key 'abuot'. Did you mean 'about'.*scores, chance, times"),
        ("[chance]", "[chances]", "unknown key 'chances'. Did you mean 'chance'"),
        (SCORES, 'scores = "exact"\n', r"scores must be a table \(scores='exact'\)"),
        ('"ask" = "exact"', '"ask" = "exakt"', "unknown score 'exakt' of task 'ask'. Did you mean 'exact'.*exact, choice, loss"),
        ('"ask" = "exact"', '"ask" = "ranking"', "no choices to score 'ranking'"),
        ('"ask" = "exact"', 'a.b = "exact"', r"the score of 'a' must be text \(\{'b': 'exact'\}\)"),
        ('"quiz" = 0.5', '"quiz" = 50', r"chance of 'quiz' must be a number from 0 to 1 \(chance=50\)"),
        ('"quiz" = 0.5', '"quiz" = true', r"\(chance=True\)"),
        ('"quiz" = 0.5', '"quiz" = nan', r"\(chance=nan\)"),
        ('"2024-05-31"', "2024-05-31", r"time of '02-oslo' must be text \(datetime.date"),
        ('"quiz" = 0.5', '"quizz" = 0.5', r"\[chance\] names 'quizz', which has no file. Did you mean 'quiz'"),
        ('"text" = "loss"', '"text" = "loss"\n"more" = "loss"', r"\[scores\] names 'more', which has no file"),
        ('"02-oslo"', '"oslo"', r"\[times\] names 'oslo', which has no file. Did you mean '02-oslo'"),
        ('"ask" = "exact"\n', "", r"test.ask.jsonl has no score. Add a line to \[scores\] in .*stream.toml: \"ask\" = \"exact\""),
        ('"text" = "loss"', '"text" = "exact"', r"test.text.jsonl:1: text cannot be scored 'exact'.*\(id='[0-9a-f]{16}', task 'text'\)"),
        ('"text" = "loss"', '"text" = "choice"', "test.text.jsonl:1: text cannot be scored 'choice'"),
        (
            '"ask" = "exact"',
            '"ask" = "choice"',
            "(?s)test.ask.jsonl:1: no choices to score 'choice'.*valid.ask.jsonl:1: no choices",
        ),
    ],
)
def test_settings_that_do_not_fit_are_refused_with_their_value(root: Path, old: str, new: str, reason: str) -> None:
    toml(root, old, new)
    with pytest.raises(DataError, match=reason):
        load_stream(root)


def test_several_mistakes_in_the_settings_are_shown_at_once(root: Path) -> None:
    (root / "stream.toml").write_text('nmae = "n"\n[scores]\nask = "blue"\n[chance]\nask = 2\n')
    with pytest.raises(DataError, match="(?s)unknown key 'nmae'.*name=None.*'blue'.*chance=2"):
        load_stream(root)


def remove_experiences(root: Path) -> None:
    for file in root.glob("*/*"):
        file.unlink()
    for folder in (root / "01-rome", root / "02-oslo"):
        folder.rmdir()


def give_one_id_two_contents(root: Path) -> None:
    write(root / "base.jsonl", Example(text="a", id="k"))
    write(root / "02-oslo" / "train.jsonl", Example(text="b"), Example(text="c", id="k"))


CHANGES: list[tuple[Callable[[Path], object], str]] = [
    (remove_experiences, "towns has no experiences"),
    (lambda root: (root / "01-rome" / "train.jsonl").unlink(), "01-rome has no train file"),
    (lambda root: (root / "01-rome" / "train.jsonl").write_text("\n"), r"01-rome/train.jsonl has no rows \(1 bytes\)"),
    (lambda root: (root / "01-rome" / "train.jsonl").write_text('{"text": "a"}\noops'), "(?s)1 of 2 rows cannot be used.*01-rome/train.jsonl:2: not JSON"),
    (lambda root: write(root / "01-rome" / "train.csv", QUIZ), "train.jsonl and train.csv hold the same part"),
    (lambda root: write(root / "01-rome" / "test.jsonl", QUIZ), "01-rome/test.jsonl is not one of train.jsonl, valid.TASK.jsonl, test.TASK.jsonl"),
    (lambda root: write(root / "01-rome" / "train.x.jsonl", QUIZ), "train.x.jsonl is not one of"),
    (lambda root: write(root / "01-rome" / "train..jsonl", QUIZ), "train..jsonl is not one of"),
    (lambda root: write(root / "01-rome" / "base.jsonl", QUIZ), "01-rome/base.jsonl is not one of"),
    (lambda root: write(root / "train.jsonl", QUIZ), "towns/train.jsonl is not one of base.jsonl"),
    (lambda root: write(root / "01-rome" / "test.b.parquet", QUIZ), "test.b.parquet is no whole parquet file: after row 0"),
    (lambda root: write(root / "01-rome" / "deep" / "train.jsonl", QUIZ), "01-rome/deep is a folder. Here are only train.jsonl"),
    (
        lambda root: write(root / "01-rome" / "test.quiz.jsonl", QUIZ, replace(QUIZ, prompt="Milan?", id="milan")),
        r"tests other rows than .*01-rome/test.quiz.jsonl \(1 in one only: id='milan'\)",
    ),
    (
        lambda root: write(root / "02-oslo" / "test.text.jsonl", Example(prompt="p", chosen="c", rejected="r", id="k")),
        r"test.text.jsonl:1: chosen \+ rejected cannot be scored 'loss'.*\(id='k', task 'text'\)",
    ),
    (give_one_id_two_contents, r"02-oslo/train.jsonl:2: .*base.jsonl:1 has this id with other content \(id='k'\)"),
]


@pytest.mark.parametrize(("change", "reason"), CHANGES)
def test_files_that_do_not_fit_are_refused_by_name(root: Path, change: Callable[[Path], object], reason: str) -> None:
    change(root)
    with pytest.raises(DataError, match=reason):
        load_stream(root)


def test_numbers_that_say_another_order_than_the_names_are_refused(root: Path) -> None:
    toml(root, "02-oslo", "10-oslo")
    (root / "02-oslo").rename(root / "10-oslo")
    (root / "01-rome").rename(root / "2-rome")
    with pytest.raises(DataError, match="'10-oslo' comes before '2-rome' in name order.*Pad the numbers"):
        load_stream(root)


def test_several_misplaced_files_are_shown_at_once(root: Path) -> None:
    for name in ("tests.quiz.jsonl", "notes.txt"):
        (root / "01-rome" / name).write_text("x")
    with pytest.raises(DataError, match="(?s)2 files have no place in a stream.*notes.txt: unknown kind of file.*tests.quiz.jsonl is not one of.*Rename them"):
        load_stream(root)


def test_messages_are_answers_for_exact(root: Path) -> None:
    chat = Example(messages=({"role": "user", "content": "Oslo?"}, {"role": "assistant", "content": "Norway"}))
    write(root / "02-oslo" / "test.ask.jsonl", chat)
    assert load_stream(root).experiences[1].tests["ask"] == (chat,)


def test_what_is_saved_comes_back(root: Path) -> None:
    stream = load_stream(root)
    save_stream(stream, root.parent / "new" / "copy")
    assert load_stream(root.parent / "new" / "copy") == stream
    assert [entry.name for entry in (root.parent / "new").iterdir()] == ["copy"]
    assert stat.S_IMODE((root.parent / "new" / "copy").stat().st_mode) == stat.S_IMODE(root.stat().st_mode)


def test_the_almanac_comes_back(tmp_path: Path) -> None:
    world = Almanac(facts=60)
    stream = Stream("almanac", tuple(almanac_stream(world, periods=2, skills=5)), tuple(almanac_base(world)), "sixty facts")
    save_stream(stream, tmp_path / "almanac")
    assert load_stream(tmp_path / "almanac") == stream


def test_a_hundred_experiences_keep_their_order(tmp_path: Path) -> None:
    stream = Stream("long", tuple(Experience(f"{i}-part", (Example(text=f"part {i}"),)) for i in range(100)))
    save_stream(stream, tmp_path / "long")
    assert load_stream(tmp_path / "long") == stream
    assert (tmp_path / "long" / "001-0-part").is_dir()


def test_equal_examples_come_back_merged_and_counted(tmp_path: Path) -> None:
    save_stream(Stream("n", (Experience("e", (QUIZ, ASK, QUIZ)),)), tmp_path / "n")
    assert load_stream(tmp_path / "n").experiences[0].train == (ASK, replace(QUIZ, count=2))


TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(lambda text: bool(text.strip()))
NAME = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\\\0"), min_size=1, max_size=12)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(NAME, TEXT, NAME, st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=4, unique=True), st.floats(0, 1), st.dates().map(str) | st.just(""))
def test_any_names_and_texts_come_back(
    tmp_path_factory: pytest.TempPathFactory, name: str, about: str, task: str, rows: list[tuple[str, str]], chance: float, time: str
) -> None:
    examples = tuple(Example(prompt=prompt, completion=completion) for prompt, completion in rows)
    stream = Stream(about, (Experience(name, examples, {task: examples}, {task: "exact"}, time, {}, {task: chance}),), examples, about)
    path = tmp_path_factory.mktemp("any") / "stream"
    save_stream(stream, path)
    assert load_stream(path) == stream


def test_nothing_is_written_over_what_exists(root: Path) -> None:
    with pytest.raises(DataError, match="towns exists. A stream is saved as a new folder"):
        save_stream(load_stream(root), root)


PLAIN = Experience("e", (QUIZ,), {"quiz": (QUIZ,)}, {"quiz": "choice"}, chance={"quiz": 0.5})


@pytest.mark.parametrize(
    ("experiences", "reason"),
    [
        ([replace(PLAIN, name="a/b")], "'a/b' is no file name"),
        ([replace(PLAIN, name="")], "'' is no file name"),
        ([replace(PLAIN, tests={"a\\b": (QUIZ,)})], r"'a\\\\b' is no file name"),
        ([PLAIN, replace(PLAIN, scores={"quiz": "exact"})], r"task 'quiz' has several scores \('choice', 'exact'\)"),
        ([PLAIN, replace(PLAIN, chance={"quiz": 0.25})], r"task 'quiz' has several chance \(0.5, 0.25\)"),
        ([], "stream 's' is not saved, it would not load again: .* has no experiences"),
        ([replace(PLAIN, train=())], "(?s)not load again: .*train.jsonl has no rows"),
        ([replace(PLAIN, scores={})], "(?s)not load again: .*test.quiz.jsonl has no score"),
        ([replace(PLAIN, train=(Example(text="a", id="k"), Example(text="b", id="k")))], r"(?s)not load again: .*train.jsonl:2: line 1 has this id .*id='k'"),
        ([replace(PLAIN, train=(Example(text="\ud800", id="k"),))], "not load again: .*surrogates not allowed"),
        ([PLAIN, Experience("f", (QUIZ,), scores={"quiz": "choice"}, chance={"quiz": 0.5})], r"'s' is not saved, it would come back changed \(in f\)"),
    ],
)
def test_a_stream_that_would_not_come_back_is_not_saved(tmp_path: Path, experiences: list[Experience], reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        save_stream(Stream("s", tuple(experiences)), tmp_path / "s")
    assert not list(tmp_path.iterdir())


def test_a_base_with_more_in_a_message_is_not_saved(tmp_path: Path) -> None:
    odd = Example(messages=({"role": "user", "content": "Hi", "name": "Bo"}, {"role": "assistant", "content": "Hello"}), id="k")
    with pytest.raises(DataError, match=r"it would come back changed \(in base\).*a message, role and content"):
        save_stream(Stream("s", (PLAIN,), (odd,)), tmp_path / "s")
