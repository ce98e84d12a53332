"""Real traffic through a rollout: of two challengers that answer beside the champion, the one that
is worse by construction goes back, and the one that is better by construction comes to full weight.

Labels come a day late, so both decisions stand on what is mature. Every number in a comment was
counted from the models' answers alone, without any code of the product's, as the tests do again.
"""

import csv
import gzip

import numpy as np
import pytest

from evidence.decision import Verdict
from penstock.migrations import upgrade
from rollout.courses import Kind
from rollout.stages import Signal
from streams.db.engine import connect
from streams.models import Declaration
from tests.real_data import shared
from tests.stories.sites import Request, Site

pytestmark = pytest.mark.slow

SPEC = """
apiVersion: penstock/v1
kind: ModelRollout
metadata: {{name: {model}-{challenger}}}
spec:
  model: {model}
  route: default
  champion: {{version: "41"}}
  challengers: [{{version: "{challenger}"}}]
  metrics:
{metrics}
  guardrails: [{names}]
  judge: {{plannedUnits: 1000}}
  blindAfter: 4d
  stages:
    - shadow: {{require: guardrails, min: {{pairs: 200}}, deadline: 90d}}
    - canary: {{weights: [20, 50], dwell: 2d, require: guardrails, deadline: 90d}}
    - full: {{probation: 3d}}
"""
METRIC = """
    - {{name: {name}, from: label, paired: true, margin: {{absolute: {margin}}}, matures: 2d,
       missing: as-champion, observed: always}}"""

PROMOTED = [*[Signal.ADVANCE] * 3, Signal.FINISH]  # out of shadow, of 20 %, of 50 %; at the end


@pytest.fixture
def engine(sqlite_url):
    upgrade(sqlite_url)
    made = connect(sqlite_url)
    yield made
    made.dispose()


class Replay:
    """A data set whose rows are requests: each version's answers to all of them, and the truth."""

    def __init__(self, model, truth, answers, *, per_day, margins):
        self.model, self.truth, self.answers, self.at = model, truth, answers, 0
        self.per_day, self.margins = per_day, margins

    def lost(self, metric, version, first, rows):
        """How many of so many rows from the first on a version gets wrong, counted by hand."""
        mine = slice(first, first + rows)
        said, truth = self.answers[version][mine], self.truth[mine]
        if metric == "misses":
            return int(((truth == "spam") & (said == "ham")).sum())
        if metric == "false_alarms":
            return int(((truth == "ham") & (said == "spam")).sum())
        return int((said != truth).sum())

    def days(self, *versions):
        """From where the last rollout ended."""
        while self.at < len(self.truth):
            rows = range(self.at, min(self.at + self.per_day, len(self.truth)))
            self.at = rows.stop
            yield [
                Request({name: str(self.answers[name][k]) for name in versions}, str(self.truth[k]))
                for k in rows
            ]

    def rolled_out(self, site, challenger):
        """From shadow to the end: where that is, and the verdicts of the last look."""
        metrics = "".join(METRIC.format(name=n, margin=m) for n, m in self.margins.items())
        names = ", ".join(self.margins)
        site.begin(
            SPEC.format(model=self.model, challenger=challenger, metrics=metrics, names=names)
        )
        days = (site.day(each) for each in self.days("41", challenger))
        end = next((kind for kind in days if kind in (Kind.DONE, Kind.ROLLED_BACK)), None)
        return end, site.verdicts()


def electricity():
    """Half-hourly prices in New South Wales: does the next one rise?

    Trained on rows 20,000 to 30,000, replayed from there on. The champion knows the time and the
    demand alone; "better" also the prices next door; of what "worse" learnt the nights are upside
    down, as by a mistaken time zone.
    """
    from sklearn.base import clone
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.tree import DecisionTreeClassifier

    with gzip.open(shared("drift/elec2_45312.csv.gz"), "rt", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    names = ("day", "period", "nswprice", "nswdemand", "vicprice", "vicdemand", "transfer")
    features = np.array([[float(row[name]) for name in names] for row in rows])
    truth = np.array([row["class"] for row in rows])
    past, few = slice(20_000, 30_000), features[:, [1, 3]]
    night = features[past, 1] < 0.4
    mistaken = np.where(night, np.where(truth[past] == "UP", "DOWN", "UP"), truth[past])
    plain = make_pipeline(StandardScaler(), LogisticRegression()).fit(few[past], truth[past])
    tree = DecisionTreeClassifier(min_samples_leaf=100, random_state=0)
    worse = clone(tree).fit(few[past], mistaken)
    better = clone(tree).fit(features[past], truth[past])
    coming = slice(30_000, 36_000)
    answers = {
        "41": plain.predict(few[coming]), "worse": worse.predict(few[coming]),
        "better": better.predict(features[coming]),
    }  # fmt: skip
    margins = {"wrong": 0.02}
    return Replay("prices", truth[coming], answers, per_day=48, margins=margins)


def messages():
    """Text messages, spam or not; trained on the first 1,500, replayed from there on.

    The champion looks for sixty words; "better" weighs all words and pairs of them; "worse" learnt
    the sixty words from labels of which nine spams of ten were lost.
    """
    from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.naive_bayes import BernoulliNB
    from sklearn.pipeline import make_pipeline

    with gzip.open(shared("text/sms_spam_5574.csv.gz"), "rt", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    texts, truth = [row["text"] for row in rows], np.array([row["label"] for row in rows])
    past, few = 1_500, CountVectorizer(max_features=60, binary=True)
    lost, spam = truth[:past].copy(), np.flatnonzero(truth[:past] == "spam")
    lost[spam[np.arange(len(spam)) % 10 > 0]] = "ham"
    plain = make_pipeline(few, BernoulliNB()).fit(texts[:past], truth[:past])
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    better = make_pipeline(words, LogisticRegression(C=100, class_weight="balanced"))
    better.fit(texts[:past], truth[:past])
    answers = {"41": plain.predict(texts[past:]), "better": better.predict(texts[past:])}
    worse = make_pipeline(few, BernoulliNB()).fit(texts[:past], lost)
    answers["worse"] = worse.predict(texts[past:])
    margins = {"misses": 0.01, "false_alarms": 0.01}
    return Replay("spam", truth[past:], answers, per_day=200, margins=margins)


@pytest.fixture
def site(engine):
    def made(replay):
        classes = tuple(sorted(set(replay.truth.tolist())))
        declared = Declaration(model=replay.model, task="classification", classes=classes)
        return Site(engine, declared, per_day=replay.per_day)

    return made


def proven(replay, verdicts, metric, challenger, first):
    """The verdict, whose figures are those of the first rows it is about, counted by hand."""
    found = verdicts[metric]
    worse = replay.lost(metric, challenger, first, found.n) - replay.lost(
        metric, "41", first, found.n
    )
    assert found.estimate * found.n == pytest.approx(worse)
    return found.verdict


def test_of_two_models_of_prices_the_worse_goes_back_and_the_better_comes_to_full_weight(site):
    """A margin of two points.

    worse: after five days 95 labels are mature; it errs at 47 of them, the champion at 18:
        (47 - 18) / 95 = +31 points.
    better: starts at row 240; at its end 575 are mature, 112 errors against 241:
        (112 - 241) / 575 = -22 points.
    """
    replay = electricity()
    prices = site(replay)

    end, verdicts = replay.rolled_out(prices, "worse")

    assert end is Kind.ROLLED_BACK
    assert [made.signal for made in prices.made] == [Signal.HARM, Signal.RESTORED]
    assert proven(replay, verdicts, "wrong", "worse", 0) is Verdict.HARM
    first = replay.at

    end, verdicts = replay.rolled_out(prices, "better")

    assert end is Kind.DONE
    assert [made.signal for made in prices.made] == PROMOTED
    assert prices.serving() == "better"
    assert proven(replay, verdicts, "wrong", "better", first) is Verdict.SAFE


def test_of_two_spam_filters_the_worse_goes_back_and_the_better_saves_misses_every_day(site):
    """Two hundred messages a day, margins of one point of all messages.

    worse: after four days 199 labels are mature; it misses 24, the champion 9:
        (24 - 9) / 199 = +7.5 points. False alarms, 1 against 4, are no comfort.
    better: starts at message 800; at its end 1,999 are mature, about ten days:
        misses 27 against 79: 2.7 a day in place of 7.9;
        false alarms 6 against 26: 0.6 a day in place of 2.6.
    """
    replay = messages()
    filters = site(replay)

    end, verdicts = replay.rolled_out(filters, "worse")

    assert end is Kind.ROLLED_BACK
    assert [made.signal for made in filters.made] == [Signal.HARM, Signal.RESTORED]
    assert proven(replay, verdicts, "misses", "worse", 0) is Verdict.HARM
    assert proven(replay, verdicts, "false_alarms", "worse", 0) is not Verdict.HARM
    first = replay.at

    end, verdicts = replay.rolled_out(filters, "better")

    assert end is Kind.DONE
    assert [made.signal for made in filters.made] == PROMOTED
    assert filters.serving() == "better"
    for metric in replay.margins:
        assert proven(replay, verdicts, metric, "better", first) is Verdict.SAFE
        days = verdicts[metric].n / replay.per_day
        before, after = (
            replay.lost(metric, version, first, verdicts[metric].n) / days
            for version in ("41", "better")
        )
        assert filters.per_day(metric) == pytest.approx((before, after))
        assert after < before / 2
