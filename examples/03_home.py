"""A model's home: a year's news is learned and promoted, shuffled news is refused, and the version before comes back."""

from dataclasses import replace
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from everlearn import Almanac, HomeSettings, TestSet, almanac_stream, create_home, diff, update

SETTINGS = HomeSettings.of(
    {"learn": {"recipe": "replay(share=6)+distill(on=memory)", "rate": 3e-4, "passes": 4, "batch": 8}, "retry": {"attempts": 0}, "test": {"anchor": "off"}},
    "this example",
)


def main() -> None:
    stream = almanac_stream(Almanac(changed=8, appeared=4), periods=2)
    first, second = stream.experiences
    kept = {"kept": TestSet("exact", first.tests["kept"][:100])}
    with TemporaryDirectory() as place:
        home = create_home(Path(place) / "home", "tiny", test=kept, remember=stream.base, settings=SETTINGS)

        # the same facts in phrasings that are never taught say whether they were learned
        version = update(home, first.train, {"news": TestSet("exact", first.tests["unseen1"])}, name="2021")
        print("\n".join(version.report))

        answers = [row.completion for row in second.train]
        Random(0).shuffle(answers)
        wrong = [replace(row, completion=answer, id="") for row, answer in zip(second.train, answers, strict=True)]
        print("\n" + "\n".join(update(home, wrong, {"news": TestSet("exact", second.tests["unseen2"])}, name="shuffled").report))

        print(f"\nIn service: version {home.head.number}. It differs from version 0 in")
        print("\n".join(list(diff(home, 0).lines(most=2))))
        print(f"\nRolled back to version {home.rollback().number}; no version is lost: {[v.number for v in home.versions()]}")


if __name__ == "__main__":
    main()
