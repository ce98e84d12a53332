"""What someone types who sends a first event."""


def first_event(url: str, *, key: str = "") -> str:
    """A line for a shell; `key` is what that shell knows an API key by, where one is needed."""
    event = (
        '{"type": "io.penstock.prediction.v1", "model": "demo", "version": "v1",'
        ' "prediction_id": "p-1", "time": "\'$(date -u +%FT%TZ)\'",'
        ' "output": {"label": "spam", "score": 0.9}}'
    )
    header = f' -H "Authorization: Bearer {key}"' if key else ""
    return f"curl {url}/v1/events{header} --json '{event}'"
