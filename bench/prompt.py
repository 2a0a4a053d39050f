"""A file of labelled issues -> how many tokens a triage question has: packed and raw, by the project's count and exact.

    python bench/prompt.py issues.csv.gz [--labels 30] [--json]

The file has the columns title and body; each issue gets 30 labels with descriptions, 3 neighbours and 5 files.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import json
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path

from bot.llm.chat import BYTES_PER_TOKEN, MESSAGE_TOKENS
from bot.llm.library import litellm
from bot.triage.issues.pack import packed
from bot.triage.issues.question import Known, Question, question_of, size_of
from bot.types.event import Actor, Subject
from bot.types.triage import Belief, LabelInfo, Neighbour, Posterior

KINDS = ("area", "component", "kind", "status", "platform", "priority")
WORDS = ("parser", "build", "docs", "network", "storage", "interface")


def main() -> None:
    """Print a table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("issues", type=Path)
    parser.add_argument("--labels", type=int, default=30)
    parser.add_argument("--model", default="gpt-4o", help="whose tokenizer counts")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    rows = read(given.issues)
    library = litellm()

    def exact(text: str) -> int:
        return int(library.token_counter(model=given.model, text=text))

    measured = measure(rows, exact, given.labels)
    if given.json:
        print(json.dumps(measured, indent=2))
        return
    for name, figures in measured.items():
        print(f"{name:28}" + "".join(f"  {key} {value:>6}" for key, value in figures.items()))


def read(path: Path) -> list[tuple[str, str]]:
    """Titles and bodies."""
    csv.field_size_limit(10**9)
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return [(row["title"], row["body"]) for row in csv.DictReader(io.StringIO(data.decode("utf-8")))]


def measure(rows: Sequence[tuple[str, str]], exact: Callable[[str], int], labels: int) -> dict[str, dict[str, int]]:
    """Mean, median, 95th percentile and the most, of each kind of count."""
    titles = [title for title, _ in rows]
    asked = [question_of(known(at, rows, titles, labels)) for at in range(len(rows))]
    return {
        "text, raw": figures([exact(body) for _, body in rows]),
        "text, packed": figures([exact(packed(body)) for _, body in rows]),
        "messages": figures([sum(exact(each.content) for each in question.messages) for question in asked]),
        "messages and schema": figures([whole(question, exact) for question in asked]),
        "messages, the model's count": figures([counted(question) for question in asked]),
        "all, by the budget's count": figures([size_of(question) for question in asked]),
    }


def whole(question: Question, exact: Callable[[str], int]) -> int:
    """Tokens with the schema."""
    return sum(exact(each.content) for each in question.messages) + exact(
        json.dumps(question.schema, separators=(",", ":"))
    )


def counted(question: Question) -> int:
    """Tokens as a model of ours counts them when it can't know its provider's tokenizer."""
    return sum(len(each.content.encode()) // BYTES_PER_TOKEN + MESSAGE_TOKENS for each in question.messages)


def figures(counts: Sequence[int]) -> dict[str, int]:
    """What is printed of them."""
    ranked = sorted(counts)
    return {
        "mean": round(statistics.mean(ranked)),
        "p50": round(statistics.median(ranked)),
        "p95": ranked[int(len(ranked) * 0.95)],
        "max": ranked[-1],
    }


def known(at: int, rows: Sequence[tuple[str, str]], titles: Sequence[str], labels: int) -> Known:
    """An issue as triage knows it, with a repository around it."""
    title, body = rows[at]
    names = [f"{KINDS[each % 6]}: {WORDS[each // 6 % 6]}{each // 36 or ''}" for each in range(labels)]
    infos = [LabelInfo(name=name, description=f"Everything that is about {name} and what it needs") for name in names]
    near = [(at + step) % len(rows) for step in (1, 2, 3)]
    return Known(
        subject=Subject(kind="issue", number=9, title=title, body=body, author=Actor(login="someone", id=1)),
        labels=infos,
        posterior=Posterior(
            types={"bug": 0.71, "feature": 0.2, "question": 0.09},
            type_threshold=0.8,
            labels=tuple(Belief(label=name, probability=0.4) for name in names[:3]),
            lessons=300,
        ),
        neighbours=[
            Neighbour(number=number + 1, title=titles[number], state="closed", closed_for="completed",
                      labels=tuple(names[:2]), score=0.5, candidate=True)
            for number in near
        ],
        files=[f"src/package/{word}/{word}_reader.py" for word in WORDS[:5]],
        missing=["Version", "Steps to reproduce"],
    )  # fmt: skip


if __name__ == "__main__":
    main()
