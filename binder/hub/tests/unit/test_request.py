"""What comes back from the form, and what is wrong with it, in words."""

import pytest

from forklore_hub.request import Limits, Refused, Request, form

LIMITS = Limits(cores=4, memory_gb_per_core=8, hours=8, projects=("course", "physics"), queues=("short.q",))


def test_what_the_form_shows_is_accepted():
    assert Request.checked({}, LIMITS) == Request(cores=4, memory_gb=1, hours=4)
    answers = {"cores": "2", "memory_gb": " 3 ", "hours": "1", "project": "physics", "queue": "short.q"}
    assert Request.checked(answers, LIMITS) == Request(2, 3, 1, "physics", "short.q")


def test_the_usual_request_fits_small_limits():
    assert Request.checked({}, Limits(cores=1, hours=2)) == Request(cores=1, memory_gb=1, hours=2)


@pytest.mark.parametrize(
    "answers, sentence",
    [
        ({"cores": "0"}, "You asked for 0 as the cores; here it can be from 1 to 4 cores."),
        ({"cores": "1000"}, "You asked for 1000 as the cores; here it can be from 1 to 4 cores."),
        ({"cores": "-1"}, "You asked for -1 as the cores; here it can be from 1 to 4 cores."),
        ({"cores": "2.5"}, "The cores must be a whole number from 1 to 4, not '2.5'."),
        ({"cores": ""}, "The cores must be a whole number from 1 to 4, not ''."),
        ({"cores": "9" * 5000}, f"The cores must be a whole number from 1 to 4, not '{'9' * 40}'."),
        ({"cores": "٣"}, "The cores must be a whole number from 1 to 4, not '٣'."),
        ({"memory_gb": "lots"}, "The memory per core must be a whole number from 1 to 8, not 'lots'."),
        ({"memory_gb": "9"}, "You asked for 9 as the memory per core; here it can be from 1 to 8 GB."),
        ({"hours": "9"}, "You asked for 9 as the run time; here it can be from 1 to 8 hours."),
        (
            {"project": "chemistry"},
            "There is no project 'chemistry' for this course. You may choose from: course, physics.",
        ),
        (
            {"queue": "short.q\n#$ -l gpu=1"},
            "There is no queue 'short.q\\n#$ -l gpu=1' for this course. You may choose from: short.q.",
        ),
        ({"nodes": "2"}, "You asked for 2 as the nodes; here it can be from 1 to 1 node."),
        ({"options": "-l gpu=1"}, "The form has no field 'options'. Reload the page and try again."),
    ],
)
def test_bad_input_gets_a_sentence(answers, sentence):
    with pytest.raises(Refused) as refused:
        Request.checked(answers, LIMITS)
    assert str(refused.value) == sentence


@pytest.mark.parametrize(
    "nodes, sentence",
    [
        ("5", "You asked for 5 as the nodes; here it can be from 1 to 4 nodes."),
        ("0", "You asked for 0 as the nodes; here it can be from 1 to 4 nodes."),
        ("1-4", "The nodes must be a whole number from 1 to 4, not '1-4'."),
        ("2\n#SBATCH --exclusive", "The nodes must be a whole number from 1 to 4, not '2\\n#SBATCH --exclusive'."),
    ],
)
def test_nodes_are_checked(nodes, sentence):
    limits = Limits(nodes=4)
    assert Request.checked({"nodes": "4", "cores": "2"}, limits) == Request(cores=2, nodes=4)
    with pytest.raises(Refused) as refused:
        Request.checked({"nodes": nodes}, limits)
    assert str(refused.value) == sentence


def test_the_form_asks_for_nodes_where_there_may_be_several():
    shown = form(Limits(nodes=4))
    assert '<label for="nodes"' in shown and "Cores per node" in shown
    assert "nodes" not in form(Limits()) and "per node" not in form(Limits())


def test_without_projects_the_form_does_not_ask():
    assert "project" not in form(Limits())
    with pytest.raises(Refused, match="Leave the field empty"):
        Request.checked({"project": "course"}, Limits())


def test_the_form_escapes_what_it_shows():
    shown = form(Limits(projects=("<b>",)), note="1 < 2")
    assert "<b>" not in shown and "&lt;b&gt;" in shown and "1 &lt; 2" in shown


def test_every_field_has_a_label():
    shown = form(LIMITS)
    for name in ("cores", "memory_gb", "hours", "project", "queue"):
        assert f'<label for="{name}"' in shown and f'id="{name}"' in shown
