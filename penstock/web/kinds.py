"""The kinds of refusals: each with its status, title, cause, and what to do about it.

The key of a kind is the path of its page, `/problems/<slug>`.
"""

import msgspec


class Kind(msgspec.Struct, frozen=True):
    """What is the same about every problem of one slug."""

    status: int
    title: str
    cause: str
    fix: str


KINDS: dict[str, Kind] = {
    "empty-body": Kind(
        400,
        "The body holds no event",
        "The request had no body, or only white space.",
        "Send one event, a JSON array or JSON Lines in the body.",
    ),
    "unreadable-body": Kind(
        400,
        "Nothing in the body is JSON",
        "Not one event of the body could be read: broken JSON, another encoding than UTF-8, or"
        " an array that does not end. When a line of JSON Lines is broken, only that line is"
        " rejected; an array is read as a whole.",
        "Send UTF-8 JSON without a byte-order mark of another encoding; check where the detail"
        " points. JSON Lines keep the good lines of a batch.",
    ),
    "bad-gzip": Kind(
        400,
        "The body is not whole gzip",
        "Content-Encoding says gzip, but the body is damaged, cut short, or not gzip at all.",
        "Compress the body again; send it without Content-Encoding if it is not compressed.",
    ),
    "bad-parameter": Kind(
        400,
        "A parameter cannot be",
        "A parameter of the query has a value that it does not take.",
        "See /openapi.json for what each parameter takes.",
    ),
    "bad-context": Kind(
        400,
        "The evaluation context cannot be used",
        "A flag is drawn for a unit: the context needs its targetingKey, a text.",
        'Send {"context": {"targetingKey": "account-17", "region": "EU"}}; tags are texts.',
    ),
    "idempotency-key-required": Kind(
        400,
        "An Idempotency-Key is required",
        "Without it a request whose answer was lost could not be sent again safely.",
        "Send a header Idempotency-Key with 1 to 200 printable characters, new for each decision."
        " A rollback needs none.",
    ),
    "key-required": Kind(
        401,
        "An API key is required",
        "No key was sent. Without a key only clients on this machine may send, directly, and only"
        " while no key was ever made.",
        "Make a key with `penstock key create` and send it as `Authorization: Bearer ps_...`.",
    ),
    "key-unknown": Kind(
        401,
        "The API key opens nothing",
        "The key is misspelt, has expired or was revoked.",
        "See `penstock key list`; make a new key with `penstock key create`.",
    ),
    "not-allowed": Kind(
        403,
        "The key lacks the scope",
        "A key opens what its scopes name: events:write for predictions, feedback,"
        " outcome-missing, assigned and route tables; labels:write for labels and"
        " outcome-missing; rollouts:read for rollouts and route tables; rollouts:decide to decide"
        " and to answer reviews; pii:read for what a model declares sensitive.",
        "Make a key with the scope or the model that the detail names.",
    ),
    "not-yours": Kind(
        403,
        "Another person must decide this",
        "An approval names who may sign it, each once and not its author; what loosens a guardrail"
        " needs a second person.",
        "Somebody whom the detail names signs, with a key of their own.",
    ),
    "foreign-origin": Kind(
        403,
        "A page of another site sent this",
        "The request changes something and carries the Origin of another site. Browsers are not"
        " allowed to send here on behalf of other pages.",
        "Send it from your service instead of from a browser, with an API key.",
    ),
    "unknown-host": Kind(
        403,
        "This Host name is not served",
        "The Host header names neither this machine nor a configured name. This stops pages of"
        " other sites that make their name point at this machine.",
        "Use http://localhost, or add the name to PENSTOCK_ALLOWED_HOSTS.",
    ),
    "not-found": Kind(
        404, "There is nothing here", "The path does not exist.", "See /openapi.json for all paths."
    ),
    "no-route": Kind(
        404,
        "No route table was published",
        "No rollout has decided anything for this model and route, so the champion that the"
        " service names answers every request.",
        "Nothing, before the first rollout. Otherwise check the names of model and route.",
    ),
    "no-model": Kind(
        404,
        "There is no such model",
        "Nobody has declared a model of this name, and no event has named it.",
        "See /v1/models for those that there are; penstock model register declares one.",
    ),
    "no-rollout": Kind(
        404,
        "There is no such rollout",
        "Nobody has made a rollout of this name.",
        "See /v1/rollouts for those that there are; POST a spec there to make one.",
    ),
    "no-webhook": Kind(
        404,
        "There is no such webhook",
        "Nobody has made a webhook of this id.",
        "See /v1/webhooks for those that there are.",
    ),
    "no-review": Kind(
        404,
        "There is no such review",
        "Nobody was asked about this answer: no rollout has people confirm it, it is an error, or"
        " it was not counted yet.",
        "Send the answer with the role proposed, and the arm and route_version that were given;"
        " then ask with wait=25. See /v1/reviews for those that are open.",
    ),
    "method-not-allowed": Kind(
        405,
        "The path does not take this method",
        "The path exists, but not for this HTTP method.",
        "Use one of the methods in the Allow header.",
    ),
    "conflict": Kind(
        409,
        "Somebody else has it",
        "The name or the route is taken, or somebody decided at the same moment.",
        "Look again at what the detail names. Asking again is safe.",
    ),
    "not-accepted": Kind(
        409,
        "That means nothing where the rollout stands",
        "A rollout accepts only what its stage allows: what has ended goes nowhere, an approval"
        " must be signed before it is left.",
        "The detail says what is accepted there. A rollback is, as long as it runs.",
    ),
    "review-over": Kind(
        409,
        "Nobody can answer this review any more",
        "Its time is over, or its rollout went back to the champion. Its service was told, and acts"
        " on the champion's answer.",
        "See /v1/reviews for those that are open.",
    ),
    "gate-not-met": Kind(
        409,
        "The evidence or the calendar says no",
        "A step is left by proof: a guardrail crossed its limit, a required metric is not proven"
        " to keep it, or the spec has a freeze now.",
        'Wait; or answer for it by name: {"override": ["the metric"]} passes a metric over,'
        ' {"in_freeze": true} a freeze. A rollback needs neither.',
    ),
    "slow-body": Kind(
        408,
        "The body did not arrive in time",
        "The body of a request must arrive within 30 seconds.",
        "Send smaller batches, or compress them with gzip.",
    ),
    "stale-rollout": Kind(
        412,
        "The rollout has moved since you looked",
        "If-Match names another state than the present one: somebody decided, wrote a revision, or"
        " a verdict changed. `errors` say what.",
        "GET the rollout again and decide on what it says now. A rollback needs no If-Match.",
    ),
    "body-too-large": Kind(
        413,
        "The body is too large",
        "A body is at most 1 MiB on the wire and 4 MiB after gzip, by default.",
        "Send less at once: about 500 events is a good batch.",
    ),
    "too-many-events": Kind(
        413,
        "The batch holds too many events",
        "A batch is at most 1,000 events, by default.",
        "Send several batches: about 500 events is a good batch.",
    ),
    "unsupported-type": Kind(
        415,
        "This content type is not taken",
        "Events are JSON. Plain text and forms are refused because any page of the web can make"
        " a browser send them.",
        "Set Content-Type to application/json, application/x-ndjson,"
        " application/cloudevents+json or application/cloudevents-batch+json"
        " (curl: use --json instead of -d).",
    ),
    "unsupported-encoding": Kind(
        415,
        "This content encoding is not taken",
        "Bodies are plain or gzip.",
        "Compress with gzip, or send it plain without Content-Encoding.",
    ),
    "bad-decision": Kind(
        422,
        "The decision cannot be made as it is written",
        "A field is unknown, missing, of another type, or names what is not there.",
        'Send {"action": "promote", "reason": "why"}; /openapi.json has every field.',
    ),
    "bad-webhook": Kind(
        422,
        "The webhook cannot be as it is written",
        "A field is unknown, missing, of another type; or nothing may be sent to the address.",
        'Send {"url": "https://host/path"} with an address that PENSTOCK_OUTBOUND_PREFIXES allows;'
        " /openapi.json has every field.",
    ),
    "bad-review": Kind(
        422,
        "The review cannot be answered as it is written",
        "A field is unknown, missing, of another type, or the label is no class of the model.",
        'Send {"action": "confirm"} or {"action": "refuse", "reason": "why", "label": "what is'
        ' right"}; /openapi.json has every field.',
    ),
    "bad-spec": Kind(
        422,
        "The spec contradicts itself or what is registered",
        "What `penstock rollout lint` calls an error. `errors` name the field and the line.",
        "Mend the field, and send the spec again; `penstock rollout lint FILE` shows all of it.",
    ),
    "key-reused": Kind(
        422,
        "The Idempotency-Key stood for another request",
        "One key is for one request, so that sending it again is safe.",
        "Take a new key for each request; the same only to send one again.",
    ),
    "if-match-required": Kind(
        428,
        "If-Match is required",
        "What is decided is decided on what was seen. The ETag of the rollout names that.",
        "Send the ETag of GET /v1/rollouts/{name} as If-Match. A rollback needs none.",
    ),
    "too-fast": Kind(
        429,
        "The key sends faster than it may",
        "Each key has a rate, PENSTOCK_KEY_RATE_PER_S, counted in events.",
        "Wait as long as Retry-After says, then send the same body again.",
    ),
    "internal": Kind(
        500,
        "Penstock failed",
        "An error of ours. Nothing that was acknowledged is lost.",
        "Sending the same events again is safe. Tell us the trace id.",
    ),
    "intake-behind": Kind(
        503,
        "Too much waits to be counted",
        "Intake is behind by more than PENSTOCK_HIGH_WATER_BYTES, so no more is taken.",
        "Wait as long as Retry-After says and send the same body again. If it stays: see whether"
        " the intake process runs, and /metrics for the lag of each partition.",
    ),
    "disk-full": Kind(
        503,
        "The disk is nearly full",
        "Less than PENSTOCK_DISK_RESERVE_BYTES is free. The rest is kept so that decisions, above"
        " all a rollback, can still be written.",
        "Free space or add a disk; sending goes on by itself.",
    ),
    "log-unavailable": Kind(
        503,
        "The log cannot be written",
        "The disk is slow, full or away, or the broker is. Nothing of this body was kept.",
        "Wait as long as Retry-After says and send the same body again.",
    ),
    "keys-unavailable": Kind(
        503,
        "The API keys are not known yet",
        "This process started while its database was away, so it cannot tell who may come in.",
        "Wait as long as Retry-After says and send the same body again.",
    ),
    "database-unavailable": Kind(
        503,
        "The database is away",
        "Rollouts are read from and written to the database, and it is down, busy or full.",
        "Wait as long as Retry-After says and send the same request again: nothing was decided.",
    ),
    "routes-unavailable": Kind(
        503,
        "The route tables are not known yet",
        "This process started while its database was away.",
        "Ask again: clients go on with the table they have, until it expires.",
    ),
    "stopping": Kind(
        503,
        "The server is stopping",
        "The request was not done when the server ended. What it brought may be kept or not.",
        "Send the same body again in a moment: sending twice is safe.",
    ),
    "too-busy": Kind(
        503,
        "Too many bodies are being read",
        "The bodies that are being received fill the memory set aside for them.",
        "Wait as long as Retry-After says and send the same body again; use fewer connections.",
    ),
}
