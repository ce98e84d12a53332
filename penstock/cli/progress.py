"""How far a long command is: a bar on a terminal, a plain line now and then when piped."""

import sys
import time

from penstock.cli.output import Output

REDRAW_S = 0.1
SAY_S = 10.0
BAR = 24


class Progress:
    """Rows (or others) done of a known or unknown total, the rate and the time left, on stderr."""

    def __init__(self, output: Output, *, total: int | None, of: str = "rows") -> None:
        self._output = output
        self._total, self._of = total, of
        self._is_terminal = sys.stderr.isatty() and not output.quiet
        self._begun_s = self._shown_s = time.monotonic()

    def show(self, done: int, *, note: str = "") -> None:
        """`done` rows are behind us; drawn only when the last drawing is old enough."""
        now_s = time.monotonic()
        if now_s - self._shown_s < (REDRAW_S if self._is_terminal else SAY_S):
            return
        self._shown_s = now_s
        text = self._text(done, now_s) + note
        if self._is_terminal:
            sys.stderr.write(f"\r\x1b[2K{text}")
            sys.stderr.flush()
        else:
            self._output.say(text)

    def end(self) -> None:
        """The bar is gone from the terminal."""
        if self._is_terminal:
            sys.stderr.write("\r\x1b[2K")
            sys.stderr.flush()

    def rate_per_s(self, done: int) -> float:
        """Rows a second since the beginning."""
        return done / max(time.monotonic() - self._begun_s, 1e-3)

    def _text(self, done: int, now_s: float) -> str:
        rate = done / max(now_s - self._begun_s, 1e-3)
        if not self._total:
            return f"{done:,} {self._of}  {rate:,.0f}/s"
        share = min(done / self._total, 1.0)
        filled = int(BAR * share)
        left_s = (self._total - done) / rate if rate else 0.0
        bar = "#" * filled + "." * (BAR - filled)
        return (
            f"[{bar}] {share:4.0%}  {done:,} of {self._total:,} {self._of}  {rate:,.0f}/s"
            f"  {_clock(left_s)} left"
        )


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02d}"
