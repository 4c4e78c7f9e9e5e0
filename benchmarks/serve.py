"""What serving costs and what batching gives; and whether a promotion or rollback is felt.

    python benchmarks/serve.py [--model tiny] [--temperature 1] [--only latency,batching,swaps] [--seconds 60] [--clients 32] [--out runs/bench/serve.json]

latency: one client over HTTP against a bare `sample` of the same questions, one after the other in random order of the two; the median of the
ratios, question by question. batching: 16 clients at once against one client, the same requests, alternating; answers a second, the median of the ratios.
swaps: clients ask for --seconds while the home is rolled back and promoted again 20 times; every answer must be that of the version it names.

Every version is taught to count on after its answer, so that answers are as long as asked for; they are drawn at --temperature with seeds at which they
are, in both of the first, and the bare call draws the same.
"""

from __future__ import annotations

import argparse
import http.client
import json
import platform
import statistics
import tempfile
import threading
from pathlib import Path
from random import Random
from time import perf_counter, process_time, sleep
from typing import Any
from urllib.parse import urlsplit

import torch

from everlearn import Example, Home, HomeSettings, TestSet, create_home, update
from everlearn.models.sampling import Sampling
from everlearn.models.weights import TrainedModel
from everlearn.results import write_json
from everlearn.serve.opening import open_served
from everlearn.serve.running import served

LEARN = {"recipe": "plain", "rate": 3e-3, "passes": 40, "batch": 8}
OPEN = {"least_gain": "off", "most_loss": "off", "most_stale": "off"}
TOKENS, SHORT, AT_ONCE, SWAPS = 64, 8, 16, 20
PLACES = ("Penwick", "Ashford")
COUNTED = " ".join(f"and {word}" for word in ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten") * 4)


class Client:
    """One connection that is kept, as real clients keep theirs."""

    def __init__(self, url: str) -> None:
        self.place = urlsplit(url)
        self.line = http.client.HTTPConnection(self.place.hostname or "", self.place.port or 0, timeout=120)

    def ask(self, body: dict[str, object]) -> tuple[int, dict[str, Any]]:
        self.line.request("POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"})
        answer = self.line.getresponse()
        return answer.status, json.loads(answer.read())

    def version(self) -> str:
        self.line.request("GET", "/health")
        return str(json.loads(self.line.getresponse().read())["version"])


def asked(n: int) -> str:
    return f"Question: Where does the owl number {n} live?\nAnswer:"


def home_of(folder: Path, model: str) -> Home:
    """Versions 1 and 2 say that the owls live in two different places."""
    settings = HomeSettings.of({"learn": LEARN, "test": {"anchor": "off"}, "gate": OPEN, "retry": {"attempts": 0}}, "the benchmark")
    home = create_home(folder / "home", model, settings=settings)
    for place in PLACES:
        rows = [Example(prompt=asked(n), completion=f" {place} {COUNTED}") for n in range(8)]
        update(home, rows, {"owls": TestSet("exact", tuple(rows[:1]))}, name=place)
    return home


def drawn(number: int, tokens: int, heat: float) -> dict[str, object]:
    return {"prompt": asked(number), "max_tokens": tokens, "temperature": heat, "seed": number}


def long_ones(model: TrainedModel, wanted: int, tokens: int, heat: float) -> list[int]:
    """Numbers of the first questions whose drawn answers have all the tokens that are asked for."""
    found, number = list[int](), 0
    while len(found) < wanted:
        question = Example(prompt=asked(number), completion="")
        (row,) = model.rollouts([question], tokens, Sampling(heat), Random(number))
        found += [number] if len(row.learned) == tokens and row.tokens[-1] not in model.ends() else []
        number += 1
    return found


def latency(url: str, model: TrainedModel, pairs: int, tokens: int, heat: float, random: Random) -> dict[str, float]:
    """Milliseconds of one answer of so many tokens, over HTTP and bare, and their ratio less 1; in processor time too, server and client together."""
    numbers = long_ones(model, pairs, tokens, heat)
    client, http_ms, bare_ms, http_cpu, bare_cpu = Client(url), list[float](), list[float](), list[float](), list[float]()

    def over_http(number: int) -> None:
        begun, cpu = perf_counter(), process_time()
        status, said = client.ask(drawn(number, tokens, heat))
        http_ms.append(1000 * (perf_counter() - begun))
        http_cpu.append(1000 * (process_time() - cpu))
        assert status == 200, said
        assert said["usage"]["completion_tokens"] == tokens, said

    def bare(number: int) -> int:
        question = Example(prompt=asked(number), completion="")
        begun, cpu = perf_counter(), process_time()
        (text,) = model.sample([question], tokens, Sampling(heat), Random(number), lines=True)
        bare_ms.append(1000 * (perf_counter() - begun))
        bare_cpu.append(1000 * (process_time() - cpu))
        return len(text)

    for number in numbers[:3]:
        over_http(number)
    http_ms.clear(), http_cpu.clear()  # that was to warm up
    for number in numbers:
        for which in random.sample([over_http, bare], 2):
            which(number)
    added, added_cpu = (statistics.median(one / other for one, other in zip(*both, strict=True)) - 1 for both in ((http_ms, bare_ms), (http_cpu, bare_cpu)))
    middle = {name: statistics.median(of) for name, of in (("http_ms", http_ms), ("bare_ms", bare_ms), ("http_cpu_ms", http_cpu), ("bare_cpu_ms", bare_cpu))}
    middle |= {"added": added, "added_cpu": added_cpu}
    return {"tokens": tokens, **middle, "pairs": pairs}


def batching(url: str, model: TrainedModel, rounds: int, requests: int, heat: float) -> dict[str, float]:
    """Answers a second of one client and of 16 at once, and the ratio."""
    one, many = [], []
    todo = [drawn(number, TOKENS, heat) for number in long_ones(model, requests, TOKENS, heat)]
    for _ in range(rounds):
        one.append(requests / _took(url, todo[: requests // 4], 1) / 4)
        many.append(requests / _took(url, todo, AT_ONCE))
    ratios = [b / a for a, b in zip(one, many, strict=True)]
    return {"one": statistics.median(one), "many": statistics.median(many), "times": statistics.median(ratios), "clients": AT_ONCE, "rounds": rounds}


def _took(url: str, todo: list[dict[str, object]], clients: int) -> float:
    left, lock = list(todo), threading.Lock()

    def work() -> None:
        client = Client(url)
        while True:
            with lock:
                if not left:
                    return
                body = left.pop()
            status, said = client.ask(body)
            assert status == 200, said
            assert said["usage"]["completion_tokens"] == body["max_tokens"], said

    threads = [threading.Thread(target=work) for _ in range(clients)]
    begun = perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return perf_counter() - begun


def swaps(url: str, home: Home, clients: int, seconds: float) -> dict[str, float]:
    """Requests across promotions and rollbacks: how many, how many failed, how many were not answered by the version they name."""
    questions = [Example(prompt=asked(n), completion="") for n in range(8)]
    right = {f"v{number}": open_served(home, home.version(number)).model.generate(questions, 8, lines=True) for number in (1, 2)}
    assert all(one != other for one, other in zip(right["v1"], right["v2"], strict=True)), "the versions cannot be told apart by their answers"
    over, lock = threading.Event(), threading.Lock()
    counts, times = {"requests": 0, "failed": 0, "mixed": 0}, list[float]()

    def work(number: int) -> None:
        client, asking = Client(url), number
        while not over.is_set():
            begun, asking = perf_counter(), asking + 1
            status, said = client.ask({"prompt": asked(asking % 8), "max_tokens": 8})
            text = said["choices"][0]["text"] if status == 200 else None
            with lock:
                times.append(1000 * (perf_counter() - begun))
                counts["requests"] += 1
                counts["failed"] += status != 200
                counts["mixed"] += status == 200 and text != right[str(said["model"])][asking % 8]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(clients)]
    begun = perf_counter()
    for thread in threads:
        thread.start()
    seen, watching = 0, Client(url)
    for move in range(SWAPS):
        sleep(max(0.0, begun + (move + 0.5) * seconds / SWAPS - perf_counter()))
        home.rollback() if move % 2 == 0 else home.promote(2)
        wanted, since = "v1" if move % 2 == 0 else "v2", perf_counter()
        while perf_counter() - since < seconds / SWAPS and watching.version() != wanted:
            sleep(0.02)
        seen += watching.version() == wanted
    sleep(max(0.0, begun + seconds - perf_counter()))
    over.set()
    for thread in threads:
        thread.join()
    return {**counts, "swaps": seen, "clients": clients, "seconds": perf_counter() - begun, "median_ms": statistics.median(times), "most_ms": max(times)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--only", default="latency,batching,swaps")
    parser.add_argument("--pairs", type=int, default=41)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--temperature", type=float, default=1.0, help="at which answers are drawn")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--out", type=Path, default=Path("runs/bench/serve.json"))
    given = parser.parse_args()
    parts, found = given.only.split(","), dict[str, object]()
    with tempfile.TemporaryDirectory() as folder:
        home = home_of(Path(folder), given.model)
        bare = open_served(home, home.head).model
        with served(home) as url:
            if "latency" in parts:
                found["latency"] = every = [latency(url, bare, given.pairs, tokens, given.temperature, Random(0)) for tokens in (TOKENS, SHORT)]
                for one in every:
                    told = f"{one['http_ms']:.1f} ms over HTTP, {one['bare_ms']:.1f} ms bare: {100 * one['added']:+.1f} %"
                    told += f"; of processor time {one['http_cpu_ms']:.1f} and {one['bare_cpu_ms']:.1f}: {100 * one['added_cpu']:+.1f} %"
                    print(f"one client, {one['tokens']:.0f} tokens: {told}", flush=True)
            if "batching" in parts:
                found["batching"] = two = batching(url, bare, given.rounds, 4 * AT_ONCE, given.temperature)
                print(f"{AT_ONCE} clients: {two['many']:.1f} answers/s, one: {two['one']:.1f}: {two['times']:.1f} times", flush=True)
            if "swaps" in parts:
                found["swaps"] = three = swaps(url, home, given.clients, given.seconds)
                told = f"{three['requests']:.0f} requests, {three['failed']:.0f} failed, {three['mixed']:.0f} of another version"
                print(f"{given.clients} clients, {three['seconds']:.0f} s, {three['swaps']:.0f} of {SWAPS} promotions and rollbacks seen: {told}")
                print(f"    median {three['median_ms']:.0f} ms, longest {three['most_ms']:.0f} ms")
    machine = {"processor": platform.machine(), "threads": torch.get_num_threads(), "torch": torch.__version__, "python": platform.python_version()}
    write_json(given.out, {"machine": machine, "model": Path(given.model).name, **found})


if __name__ == "__main__":
    main()
