"""The demo from its first line to its last: shows the story while it happens, and adds it up."""

import time

from penstock import installed
from penstock.demo import beginning, models, running, summary
from penstock.demo.beginning import Length
from penstock.demo.figures import Figures, Looker
from penstock.demo.folder import Folder, Story
from penstock.demo.journal import Reader
from penstock.demo.running import Notes, Patience, StoppedError
from penstock.demo.screen import Screen, View, disagreement, frozen
from penstock.installation import Installation
from streams.errors import ConfigError

# After the last event was sent, until all are counted; a cluster may have to start again first.
COUNTED_S, COUNTED_ON_CLUSTER_S = 30.0, 180.0
LOOK_S = 0.5
INTERRUPTED = 130


def tell(
    folder: Folder, screen: Screen, length: Length, *, seed: int | None, port: int | None,
    stays: bool, cluster: bool,
) -> int:  # fmt: skip
    """The exit code: 0 when every event was counted once, 1 when not, 130 when interrupted.

    With `stays`, everything goes on running after the end until someone stops it.
    """
    if "demo" not in installed.extras():
        raise ConfigError(
            "scikit-learn and skl2onnx are not installed", fix="pip install 'penstock[demo]'"
        )
    if cluster:
        running.require_cluster()
    with running.patience() as patient:
        try:
            folder.make()
            running.free(folder, patient)
            story = beginning.story(folder, length, seed=seed, port=port, cluster=cluster)
            folder.keep(story)
            agrees = _told(folder, story, screen, patient, stays=stays)
        except StoppedError:
            screen.say("stopped, and everything with it; the same command goes on from here")
            return INTERRUPTED
    screen.say("everything has ended")
    return 0 if agrees else 1


def _told(
    folder: Folder, story: Story, screen: Screen, patient: Patience, *, stays: bool
) -> bool:  # fmt: skip
    """The story was told to its end, and everything that ran for it has ended; whether it adds up.

    Raises StoppedError when it was stopped before.
    """
    where = f"{folder.cluster}, on Kafka and PostgreSQL" if story.cluster else folder.penstock
    screen.say(f"Penstock starts at {story.url}, data in {where}")
    if served := len(Reader(folder.journal).read().served):
        screen.say(f"the folder holds a story; it goes on after request {served:,}")
    screen.say("two versions of a digit reader are trained and exported to ONNX")
    notes = Notes(folder)
    with running.penstock(folder, story, notes, patient, screen.say) as here:
        screen.say(
            f"the service answers {story.rate_per_s} requests a second up to number {story.goal:,};"
            f" on the sorting floor {_hurry(story)} {story.speed:g} times as fast"
        )
        with running.service(folder, notes):
            teller = _Teller(folder, story, here, screen, notes, patient)
            agrees = teller.follow()
            if stays:
                teller.stay()
    return agrees


def _hurry(story: Story) -> str:
    return "truths come" if story.cluster else "time runs"


class _Teller:
    """Looks, shows, and adds up."""

    def __init__(
        self, folder: Folder, story: Story, here: Installation, screen: Screen, notes: Notes,
        patient: Patience,
    ) -> None:  # fmt: skip
        self._folder = folder
        self._story = story
        self._here = here
        self._screen = screen
        self._notes = notes
        self._patient = patient
        self._reader = Reader(folder.journal)
        self._looker = Looker(here)

    def follow(self) -> bool:
        """The story was shown to its end, and its sums; whether both sides agree."""
        while not beginning.told(self._reader.read(), self._story):
            self._look()
        images = models.Images(self._folder.models)
        said = summary.own(self._reader.book, images, self._story.seed)
        self._screen.say("every event was sent; the last ones are being counted")
        patience_s = COUNTED_ON_CLUSTER_S if self._story.cluster else COUNTED_S
        deadline_s = time.monotonic() + patience_s
        while not (found := summary.compared(said, self._look())).agrees:
            if time.monotonic() > deadline_s:
                break
        self._screen.rest()
        now = self._looker.look()
        for line in ("", *found.lines(), f"frozen by now: {frozen(now)}"):
            self._screen.say(line)
        self._screen.say(f"pairs by now:  {disagreement(now)}")
        self._screen.say("")
        return found.agrees

    def stay(self) -> None:
        """It goes on until someone stops it; minutes that are still open are frozen meanwhile."""
        self._screen.say(f"Penstock stays up at {self._story.url}; Ctrl-C ends it. To look around:")
        settings = f"export PENSTOCK_DATA_DIR={self._folder.penstock}"
        if self._story.cluster:
            settings = f". {self._folder.cluster / 'env'}"
        self._screen.say(f"  {settings}")
        self._screen.say("  penstock events counts; penstock events rejected; penstock events tail")
        try:
            while True:
                self._look()
        except StoppedError:
            self._screen.rest()

    def _look(self) -> Figures:
        """Shows the figures as they are now, and what supervisors had to say."""
        self._patient.pause(LOOK_S)
        for note in self._notes.new():
            self._screen.say(note)
        figures = self._looker.look()
        book = self._reader.read()
        now_ms = running.domain_ms(self._here.settings)
        self._screen.show(
            View(
                figures=figures,
                sent=2 * len(book.served) + len(book.done),
                domain_ms=now_ms,
                speed=self._story.clock,
                left_s=self._left_s(now_ms),
                url=self._story.url,
            )
        )
        return figures

    def _left_s(self, now_ms: int) -> float:
        book, story = self._reader.book, self._story
        if len(book.served) < story.goal:
            return (story.goal - len(book.served)) / story.rate_per_s + story.tail_s
        since_s = (now_ms - book.served[-1].time_ms) / 1000 / story.clock
        return max(0.0, story.tail_s - since_s)
