"""Tune and score the peers of the bike forecast.

Every finished trial and score is a line of a file; run again, it goes on where it stopped:

    python -m bench.accuracy.bikes --trials 10 --until 06:20
    python -m bench.accuracy.bikes --trials 50
"""

import argparse
import sys
import time
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from bench.accuracy.clock import add_deadline, late
from bench.accuracy.lines import METRICS, RESULTS, Lines, winners
from bench.accuracy.peer import BASELINE, MOST_ROUNDS, Fit, Fitted, Peer, Settings
from bench.accuracy.rows import Hours, Study, read, refit, studies
from training.metrics import regression
from training.protocols import Split


def peers() -> dict[str, Peer]:
    """Every peer that is installed, by name: the cheap and the strong first."""
    found = {BASELINE.name: BASELINE}
    try:
        from bench.accuracy import trees  # noqa: PLC0415

        found |= {p.name: p for p in (trees.LIGHTGBM, trees.CATBOOST, trees.XGBOOST, trees.FOREST)}
        from bench.accuracy import networks  # noqa: PLC0415

        found |= {p.name: p for p in (networks.TORCH, networks.SKLEARN)}
    except ImportError as error:
        print(f"left out: {error}", file=sys.stderr)
    return found


def learn(
    peer: Peer, settings: Settings, hours: Hours, split: Split, *, day_category: bool
) -> Fitted:
    """Fit on the training rows, stopped by the validation rows."""
    train, stop = hours.take(split.train), hours.take(split.validation)
    return peer.fit(Fit(settings, train, stop, MOST_ROUNDS, day_category))


def run_trial(peer: Peer, study: Study, hours: Hours, number: int) -> dict[str, Any]:
    """The trial with this number: its settings (the same in every run), errors and kept rounds."""
    rng = np.random.default_rng([zlib.crc32(peer.name.encode()), number])
    settings = peer.sample(rng)
    errors, rounds = [], []
    for split in study.tuning:
        fitted = learn(peer, settings, hours, split, day_category=study.day_category)
        judged = hours.take(split.test if study.on_test else split.validation)
        errors.append(regression(judged.rentals, fitted.predict(judged)))
        rounds.append(fitted.rounds)
    means = {name: float(np.mean([error[name] for error in errors])) for name in METRICS}
    return {"settings": settings, "rounds": int(np.median(rounds)), **means}


def score(peer: Peer, study: Study, hours: Hours, trial: Mapping[str, Any]) -> dict[str, Any]:
    """The metrics of a trial's settings on each scored split, by the split's name.

    P1 is scored once more, refitted with the validation rows and the rounds that the trial kept.
    """
    settings, found = trial["settings"], {}
    for split in study.scoring:
        fitted = learn(peer, settings, hours, split, day_category=study.day_category)
        test = hours.take(split.test)
        found[split.name] = regression(test.rentals, fitted.predict(test))
    if study.name == "p1":
        split = refit(study)
        fitted = peer.fit(Fit(settings, hours.take(split.train), None, trial["rounds"]))
        test = hours.take(split.test)
        found[split.name] = regression(test.rentals, fitted.predict(test))
    return found


def run_study(peer: Peer, study: Study, hours: Hours, trials: int, until: float) -> None:
    """Bring a study up to this number of trials, then score its winners."""
    done, scores = Lines(RESULTS / "trials.jsonl"), Lines(RESULTS / "scores.jsonl")
    key = {"peer": peer.name, "study": study.name}
    wanted = 1 if peer is BASELINE else trials
    for number in range(len(done.where(**key)), wanted):
        if late(until):
            break
        began = time.process_time()
        tried = run_trial(peer, study, hours, number)
        done.add(**key, trial=number, **tried, seconds=round(time.process_time() - began, 2))
    for trial in winners(done.where(**key)).values():
        if scores.where(**key, trial=trial["trial"]):
            continue
        for split, found in score(peer, study, hours, trial).items():
            scores.add(**key, trial=trial["trial"], split=split, **found)
            shown = {name: round(found[name], 3) for name in METRICS}
            print(peer.name, split, trial["trial"], shown, flush=True)


def main() -> None:
    """Run what is asked for, study by study."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=50)
    parser.add_argument("--peers", nargs="*", help="by default all")
    parser.add_argument("--studies", nargs="*", help="by default all")
    until = add_deadline(parser)
    options = parser.parse_args()
    dataset, hours = read()
    known = studies(dataset)
    for name, peer in peers().items():
        for study in options.studies or known:
            if not options.peers or name in options.peers:
                run_study(peer, known[study], hours, options.trials, until(options))


if __name__ == "__main__":
    main()
