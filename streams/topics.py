"""The closed table of topics: what flows where, by which key, kept how long."""

import msgspec

from streams.models import DAY_MS


class Topic(msgspec.Struct, frozen=True):
    """One topic of the house."""

    name: str
    payload: str
    key: str
    retention_ms: int


EVENTS = Topic(
    "events", "prediction, label, feedback, outcome-missing, assigned", "join key or id", 7 * DAY_MS
)
MIRROR = Topic("mirror", "requests whose inputs are not features", "id", DAY_MS)
DECISIONS = Topic(
    "decisions", "stage changes, verdicts, route versions, audit plans", "rollout", 30 * DAY_MS
)
MEASUREMENTS = Topic(
    "measurements", "every closed window: n, drift ratio, coverage", "model", 30 * DAY_MS
)
ALERTS = Topic("alerts", "opened, changed, resolved", "alert", 30 * DAY_MS)
BADCASES = Topic("badcases", "life-cycle changes", "bad case", 30 * DAY_MS)
LABELING = Topic("labeling", "labeling tasks", "task", 30 * DAY_MS)
RETRAINING = Topic("retraining", "retraining requests with evidence", "model", 30 * DAY_MS)
PROPOSED_VERSIONS = Topic(
    "proposed-versions", "files by digest, lineage, hyperparameters", "model", 30 * DAY_MS
)
SUITE_RESULTS = Topic(
    "suite-results", "regression suite, dataset certificates", "version", 30 * DAY_MS
)
DEAD_LETTERS = Topic("dead-letters", "what could not be taken", "place", 30 * DAY_MS)

TOPICS = {
    topic.name: topic
    for topic in (
        EVENTS, MIRROR, DECISIONS, MEASUREMENTS, ALERTS, BADCASES, LABELING, RETRAINING,
        PROPOSED_VERSIONS, SUITE_RESULTS, DEAD_LETTERS,
    )
}  # fmt: skip
