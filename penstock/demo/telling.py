"""The demo from its first line to its last: tells what is decided when it is, and adds it up."""

import time
from collections.abc import Callable, Sequence

from penstock import installed
from penstock.demo import figures, models, operating, running, summary, wording
from penstock.demo.figures import Figures, Looker
from penstock.demo.folder import Folder, Story
from penstock.demo.journal import Reader
from penstock.demo.operating import Operator
from penstock.demo.running import Notes, Patience, StoppedError
from penstock.demo.screen import Screen, View
from penstock.demo.summary import Sums
from penstock.installation import Installation
from rollout.courses import Kind
from rollout.store import Standing
from streams.db.engine import reading
from streams.errors import ConfigError, ConflictError, UnavailableError

# After the last event was sent, until all are counted; a cluster may have to start again first.
COUNTED_S, COUNTED_ON_CLUSTER_S = 30.0, 180.0
LOOK_S = 0.5
INTERRUPTED = 130


def tell(
    folder: Folder, screen: Screen, begin: Callable[[], Story], *, stays: bool, cluster: bool
) -> int:
    """The exit code: 0 when all ended as it should and every event was counted once, 1 when not,
    130 when interrupted.

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
            story = begin()
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
    served = len(Reader(folder.journal).read().served)
    if folder.closing.exists():
        screen.say(f"the folder holds a story that ended after {served:,} requests")
    elif served:
        screen.say(f"the folder holds a story; it goes on after request {served:,}")
    screen.say("three versions of a digit reader are trained and exported to ONNX")
    notes = Notes(folder)
    with running.penstock(folder, story, notes, patient, screen.say) as here:
        screen.say(
            f"the service answers {story.rate_per_s} requests a second;"
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
        self._operator = Operator(here, folder, story)
        self._standings: list[Standing] = []
        self._said: dict[str, int] = {}  # the last decision of each rollout that was told

    def follow(self) -> bool:
        """The story was shown to its end, with its sums; whether they agree and it ended well."""
        self._standings = self._operator.standings()
        self._said = {each.name: each.state.seq for each in self._standings}
        while not operating.told(self._standings, self._story):
            self._look()
        self._folder.close()
        self._screen.say("the rollouts are over and the floor closes; the last events are counted")
        while not self._reader.read().is_settled:
            self._look()
        sums = self._counted()
        self._screen.rest()
        for line in self._end(sums):
            self._screen.say(line)
        strays = operating.astray(self._standings, self._story)
        for stray in strays:
            self._screen.say(f"this is not how it should end: {stray}")
        return sums.agree and not strays

    def stay(self) -> None:
        """It goes on until someone stops it."""
        self._screen.say(f"Penstock stays up at {self._story.url}; Ctrl-C ends it. To look around:")
        settings = f"export PENSTOCK_DATA_DIR={self._folder.penstock}"
        if self._story.cluster:
            settings = f". {self._folder.cluster / 'env'}"
        name = self._standings[0].name
        for line in (settings, f"penstock rollout log {name}; penstock rollout get {name}"):
            self._screen.say(f"  {line}")
        try:
            while True:
                self._look()
        except StoppedError:
            self._screen.rest()

    def _look(self) -> Figures:
        """What is due for people is done; what was decided is told, and the figures are shown."""
        self._patient.pause(LOOK_S)
        for note in self._notes.new():
            self._screen.say(note)
        book = self._reader.read()
        self._operate(book.served[0].time_ms if book.served else None)
        found = self._looker.look()
        self._screen.show(
            View(
                figures=found,
                standings=self._standings,
                sent=sum(len(served.answers) for served in book.served) + len(book.done),
                domain_ms=running.domain_ms(self._here.settings),
                speed=self._story.clock,
                url=self._story.url,
            )
        )
        return found

    def _operate(self, first_ms: int | None) -> None:
        try:
            self._operator.step(self._standings, first_ms=first_ms)
            self._standings = self._operator.standings()
        except (ConflictError, UnavailableError):
            return  # somebody decided meanwhile, or the database is away: the next look goes on
        for standing in self._standings:
            for decision in standing.decisions[self._said.get(standing.name, 0) :]:
                for line in wording.decided(standing, decision):
                    self._screen.say(line)
            self._said[standing.name] = standing.state.seq

    def _counted(self) -> Sums:
        """Both sides, once they agree or nothing more is to be expected."""
        images = models.Images(self._folder.models)
        said = summary.own(self._reader.book, images, self._story.seed)
        patience_s = COUNTED_ON_CLUSTER_S if self._story.cluster else COUNTED_S
        deadline_s = time.monotonic() + patience_s
        while not (sums := summary.compared(said, self._look())).agree:
            if time.monotonic() > deadline_s:
                break
        return sums

    def _end(self, sums: Sums) -> Sequence[str]:
        """The summary."""
        book, images = self._reader.book, models.Images(self._folder.models)
        found = summary.readings(book, images, self._story.seed)
        lines = [""]
        with reading(self._here.engine) as connection:
            for standing in self._standings:
                looks = figures.recomputed(connection, standing.name)
                labels = figures.labels_used(connection, standing.name)
                lines += wording.ended(standing, looks=looks, labels=labels)
        serves = _serves(self._standings)
        acted = summary.by_whom(book.served)
        lines += ["", *summary.change(found, self._story, before="v1", after=serves)]
        lines += ["", *summary.cost(found, acted, self._story), "", *sums.lines(), ""]
        return lines


def _serves(standings: Sequence[Standing]) -> str:
    """The version that answers at the end."""
    last = standings[-1]
    spec = last.declared.spec
    return (
        spec.challengers[0].version if last.state.place.kind is Kind.DONE else spec.champion.version
    )
