"""What someone types who sends a first event."""


def first_event(url: str) -> str:
    """A line for a shell."""
    event = (
        '{"type": "io.penstock.prediction.v1", "model": "demo", "version": "v1",'
        ' "prediction_id": "p-1", "time": "\'$(date -u +%FT%TZ)\'",'
        ' "output": {"label": "spam", "score": 0.9}}'
    )
    return f"curl {url}/v1/events --json '{event}'"
