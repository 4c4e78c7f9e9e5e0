"""What a service desk is given: dated policies, and questions with the policy that answers each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from everlearn.applications.tables import every, objects, the
from everlearn.errors import DataError
from everlearn.memory.passages import iso
from everlearn.types import Example

SPLITS = ("train", "live", "valid", "test")


@dataclass(frozen=True, slots=True)
class Policy:
    """What is answered on a matter from a date on. matter: its name; a later policy of the same matter supersedes.   source: where it is written."""

    matter: str
    answer: str
    since: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class Question:
    """What a customer asks. matter: the one that answers it, "" for none: a person must.   since: from when it is asked; part: one of SPLITS."""

    text: str
    matter: str
    part: str = "train"
    since: str = ""


@dataclass(frozen=True, slots=True)
class Service:
    """A desk's whole world. prompt: how a model is asked, with {question}.   names: questions are about named things, which must not be taken for each other.

    dates: its periods, each the date from which what is new in it holds.
    """

    name: str
    policies: tuple[Policy, ...]
    questions: tuple[Question, ...]
    prompt: str = "Customer: {question}\nAgent:"
    names: bool = False
    about: str = ""

    @property
    def dates(self) -> list[str]:
        return sorted({policy.since for policy in self.policies})

    def asked(self, part: str, now: str) -> list[Question]:
        """The questions of a part that are asked by a date."""
        return [one for one in self.questions if one.part == part and one.since <= now]

    def standing(self, now: str) -> dict[str, Policy]:
        """By matter the policy that holds at a date."""
        return {policy.matter: policy for policy in sorted(self.policies, key=lambda policy: policy.since) if policy.since <= now}

    def replaced(self, now: str) -> dict[str, set[str]]:
        """By matter the answers that held before a date and do not any more."""
        standing, found = self.standing(now), dict[str, set[str]]()
        for policy in self.policies:
            if policy.since <= now and policy.answer != standing[policy.matter].answer:
                found.setdefault(policy.matter, set()).add(policy.answer)
        return found

    def rows(self, now: str, before: str | None) -> list[Example]:
        """What is new by a date as rows to learn: the known questions of each matter whose policy began after `before`, with its answer."""
        new = {policy.matter: policy for policy in self.standing(now).values() if before is None or policy.since > before}
        return [self.row(one.text, new[one.matter]) for one in self.asked("train", now) if one.matter in new]

    def row(self, question: str, policy: Policy | None = None) -> Example:
        """The question as a model is asked it, with the policy's answer."""
        answer = "" if policy is None else f" {policy.answer}"
        source, time = ("", "") if policy is None else (policy.source or policy.matter, policy.since)
        return Example(prompt=self.prompt.format(question=question), completion=answer, source=source, time=time)


def read_service(path: str | Path) -> Service:
    """The service of a folder with policies.jsonl (matter, answer, since, source) and questions.jsonl (question, matter, split, since).

    A question without a matter is one that a person must answer. split: "train" (known beforehand), "live" (asked on the way; corrected where it went wrong),
    "valid" (the threshold is chosen on these) or "test". Raises DataError with file, line and reason for what cannot be used.
    """
    root = Path(path)
    if not root.is_dir():
        raise DataError(f"there is no such folder (folder={str(path)!r}). It holds policies.jsonl and questions.jsonl.")
    policies = every(objects(the(root, "policies.jsonl")), _policy)
    known = {policy.matter for policy in policies}
    questions = every(objects(the(root, "questions.jsonl")), lambda place, row: _question(row, known))
    return checked(Service(root.resolve().name, tuple(policies), tuple(questions)))


def checked(service: Service) -> Service:
    """The service. Raises DataError where it has nothing to know, to choose a threshold on, or to be tested on."""
    for part in ("train", "valid", "test"):
        if not any(one.part == part for one in service.questions):
            raise DataError(f"the service has no questions of one part (service={service.name!r}, split={part!r}). Mark some with it.")
    return service


def _policy(place: str, row: object) -> Policy:
    assert isinstance(row, dict)
    matter, answer = (_text(row, name) for name in ("matter", "answer"))
    return Policy(matter, " ".join(answer.split()), iso(str(row.get("since") or ""), "since"), str(row.get("source") or ""))


def _question(row: object, known: set[str]) -> Question:
    assert isinstance(row, dict)
    matter, part = row.get("matter") or "", row.get("split", "train")
    if not isinstance(matter, str) or (matter and matter not in known):
        raise DataError(f"the question's matter has no policy (matter={matter!r}). Add one to policies.jsonl, or leave matter out: then a person answers.")
    if part not in SPLITS:
        raise DataError(f"split must be one of {', '.join(SPLITS)} (split={part!r}). Correct it, or leave it out for train.")
    return Question(" ".join(_text(row, "question").split()), matter, str(part), iso(str(row.get("since") or ""), "since"))


def _text(row: Mapping[str, object], name: str) -> str:
    value = row.get(name)
    if not isinstance(value, str) or not value.strip():
        raise DataError(f"{name} must be text ({name}={value!r}). Fill it.")
    return value.strip()
