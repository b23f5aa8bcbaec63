"""What a learner may ask for: the form, its limits, and the check of what comes back.

Nothing here knows JupyterHub or a scheduler. Every field of a `Request` has been checked, so each may stand in a job
script: numbers are numbers, and names are names that the administrator has listed.
"""

import html
import re
from dataclasses import dataclass, fields


class Refused(ValueError):
    """Why there is no session, in a sentence for the learner."""


@dataclass(frozen=True)
class Limits:
    """What one session may ask for. Empty `projects` or `queues`, or one node: the form does not ask."""

    cores: int = 4
    memory_gb_per_core: int = 4
    hours: int = 8
    projects: tuple = ()
    queues: tuple = ()
    nodes: int = 1


@dataclass(frozen=True)
class Request:
    """What a learner asks for; cores are those of each node. The defaults are what the course is written for."""

    cores: int = 4
    memory_gb: int = 1
    hours: int = 4
    project: str = ""
    queue: str = ""
    nodes: int = 1

    @classmethod
    def checked(cls, answers, limits):
        """Reads answers (name of a field to text or number), or says what is wrong with one.

        A field that is not in the form is refused too, as it did not come from the form.
        """
        unknown = sorted(set(answers) - {field.name for field in fields(cls)})
        if unknown:
            raise Refused(f"The form has no field {unknown[0][:40]!r}. Reload the page and try again.")
        default = usual(limits)

        def given(name):
            return answers.get(name, getattr(default, name))

        return cls(
            cores=whole("cores", given("cores"), limits.cores, "core"),
            memory_gb=whole("memory per core", given("memory_gb"), limits.memory_gb_per_core, "GB"),
            hours=whole("run time", given("hours"), limits.hours, "hour"),
            project=listed("project", given("project"), limits.projects),
            queue=listed("queue", given("queue"), limits.queues),
            nodes=whole("nodes", given("nodes"), limits.nodes, "node"),
        )


def usual(limits):
    """The request that the form shows at first: the course's, as far as the limits allow it."""
    return Request(
        cores=min(Request.cores, limits.cores),
        memory_gb=min(Request.memory_gb, limits.memory_gb_per_core),
        hours=min(Request.hours, limits.hours),
    )


def whole(what, given, most, unit):
    """A whole number from 1 to `most`."""
    text = str(given).strip()
    if not re.fullmatch(r"[+-]?[0-9]{1,9}", text):
        raise Refused(f"The {what} must be a whole number from 1 to {most}, not {text[:40]!r}.")
    number = int(text)
    if not 1 <= number <= most:
        units = unit if unit == "GB" or most == 1 else f"{unit}s"
        raise Refused(f"You asked for {number} as the {what}; here it can be from 1 to {most} {units}.")
    return number


def listed(what, given, known):
    """One of the listed names, or nothing."""
    name = str(given).strip()
    if name and name not in known:
        offered = f"You may choose from: {', '.join(known)}." if known else "Leave the field empty."
        raise Refused(f"There is no {what} {name[:40]!r} for this course. {offered}")
    return name


def form(limits, note=""):
    """The form's fields as HTML, each with its label and limits. `note` is shown above them, if there is one."""
    default = usual(limits)
    above = f'<p class="alert alert-warning" role="status">{html.escape(note)}</p>' if note else ""
    return above + "".join(
        [
            number("nodes", "Nodes", 1, limits.nodes, "More than 1 is for maps over several machines.") if limits.nodes > 1 else "",
            number("cores", "Cores per node" if limits.nodes > 1 else "Cores", default.cores, limits.cores, "The course is written for 4."),
            number("memory_gb", "Memory per core, GB", default.memory_gb, limits.memory_gb_per_core, "1 is enough."),
            number("hours", "Run time, hours", default.hours, limits.hours, "The session ends then, saved or not."),
            choice("project", "Project", limits.projects),
            choice("queue", "Queue", limits.queues),
        ]
    )


def number(name, label, value, most, note):
    return f"""
<div class="mb-3">
  <label for="{name}" class="form-label">{label}</label>
  <input class="form-control" type="number" id="{name}" name="{name}" min="1" max="{most}" step="1"
         value="{value}" required aria-describedby="{name}-note">
  <div id="{name}-note" class="form-text">1 to {most}. {note}</div>
</div>"""


def choice(name, label, names):
    if not names:
        return ""
    options = "".join(f'<option value="{html.escape(one)}">{html.escape(one)}</option>' for one in names)
    return f"""
<div class="mb-3">
  <label for="{name}" class="form-label">{label}</label>
  <select class="form-select" id="{name}" name="{name}"><option value="">the usual one</option>{options}</select>
</div>"""
