"""What all spawners of the course share: the form, and the memory of how the last session ended."""

import asyncio
from dataclasses import asdict
from importlib import resources
from typing import ClassVar

from jupyterhub.spawner import SpawnException
from sqlalchemy.orm import object_session
from traitlets import HasTraits, Instance, Integer, default

from .request import Limits, Refused, Request, form


# Percent of a start's progress, when all that is left to wait for is JupyterLab.
UP = 70
STEP_PAUSE_S = 2


def script(name):
    """A shell script of the package, such as a job's."""
    return resources.files(__package__).joinpath("scripts", name).read_text()


class Refusal(SpawnException):
    """A refusal on its way through JupyterHub, which shows `jupyterhub_message` on every page that tells of it."""

    def __init__(self, sentence, log_message=""):
        super().__init__(sentence, reason="refused", log_message=log_message or sentence)
        self.jupyterhub_message = sentence


class FormMixin(HasTraits):
    """A spawner that starts what the form asked for, and nothing that has not been checked."""

    limits = Instance(Limits, args=(), help="What one session may ask for.").tag(config=True)
    hour = Integer(3600, help="Seconds in an hour of run time; fewer for a rehearsal.").tag(config=True)
    # JupyterHub makes a new spawner when a session has ended, which would know nothing of it.
    ended: ClassVar[dict] = {}

    @default("apply_user_options")
    def _apply_user_options_default(self):
        # Each start reads them (`prepare`). Without this, the hub warns of every session that none reads them.
        return lambda spawner, user_options: None

    @property
    def last_words(self):
        """How the last session came to its end, for its learner; empty if by its own will."""
        return self.ended.get((self.user.name, self.name), "")

    @last_words.setter
    def last_words(self, sentence):
        self.ended[self.user.name, self.name] = sentence

    @property
    def options_form(self):
        return form(self.limits, self.last_words)

    def options_from_form(self, formdata):
        answers = {name: values[-1] for name, values in formdata.items() if not name.startswith("_")}
        return asdict(self.checked(answers))

    def checked(self, answers):
        try:
            return Request.checked(answers, self.limits)
        except Refused as refused:
            self.log.warning("%s: refused the form %r: %s", self.user.name, answers, refused)
            raise Refusal(str(refused)) from None

    def prepare(self):
        """Before every start: what comes through the hub's API or from its database has not passed the form."""
        self.user_options = asdict(self.checked(self.user_options))
        self.last_words = ""

    @property
    def request(self):
        """The checked request of this session."""
        return Request(**self.user_options)

    @property
    def run_time(self):
        """As schedulers want it: hours, minutes, seconds."""
        minutes, seconds = divmod(self.request.hours * self.hour, 60)
        return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"

    def remember(self):
        """Writes what would find this session again, now: a hub that is restarted in the next second needs it."""
        self.orm_spawner.state = self.get_state()
        object_session(self.orm_spawner).commit()

    async def progress(self):
        """Each step once, as the page makes a line of each, and a queue may be long."""
        said = ""
        while True:
            percent, message = self.step()
            if message != said:
                yield {"progress": percent, "message": message}
            said = message
            if percent >= UP:
                return
            await asyncio.sleep(STEP_PAUSE_S)

    def step(self):
        """How far the start has come: percent, and a sentence for the learner."""
        raise NotImplementedError
