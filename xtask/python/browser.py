"""Looks at pages, and at JupyterLab, with a real browser.

    browser.py --chromium PROGRAM pages PAGE...
    browser.py --chromium PROGRAM learner ADDRESS --lesson NN-exercises.json --shots FOLDER
    browser.py --chromium PROGRAM predictions ADDRESS --shots FOLDER

`pages`: a page must load nothing from a network, have no serious violation that axe-core finds, light or dark, be usable
with the keyboard alone, and be readable from a phone's width on. Slides are looked at one by one: each has to fit, to
have a heading and its number, and no violation either.

`learner`: goes the way of a learner who does a lesson: a prediction, all cells, an exercise that is not solved yet,
and then is; and moves a slider. ADDRESS is the lesson in JupyterLab.

`predictions`: whether the number that a learner is to change is on the screen, in each cell of a notebook that has one: on a
laptop beside JupyterLab's file browser, and on a tablet.

All waiting is for something that can be seen in the page. The exit status is 1 when something is wrong; what it is goes to
stderr.
"""

import argparse
import json
import sys
from pathlib import Path

import axe_playwright_python
from playwright.sync_api import sync_playwright

# In a container everybody is root, whom the sandbox refuses. Nothing foreign is opened.
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
AXE = Path(axe_playwright_python.__file__).with_name("axe.min.js")
GRAVE = ("serious", "critical")
PATIENCE_MS = 300_000
# A phone, a tablet, a laptop.
WIDTHS = (390, 800, 1280)
SMALLEST_LETTER_PX = 11
# What is wrong with a page at the width that it has.
NARROW = """smallest => {
    const complaints = [];
    const over = document.documentElement.scrollWidth - innerWidth;
    if (over > 0) complaints.push(`it is ${over} points wider than the window`);
    for (const text of document.querySelectorAll("svg text")) {
        const size = text.getScreenCTM()?.a * parseFloat(getComputedStyle(text).fontSize);
        if (text.getClientRects().length && size < smallest - 0.1) {
            complaints.push(`a figure's letters are ${size.toFixed(1)} points high: ${text.textContent}`);
            break;
        }
    }
    return complaints;
}"""
# What is wrong with a slide.
SLIDE = """() => {
    const slide = Reveal.getCurrentSlide(), complaints = [];
    const over = Math.max(slide.scrollHeight - slide.clientHeight, slide.scrollWidth - slide.clientWidth);
    if (over > 2) complaints.push(`it does not fit by ${over} points, even when it is made smaller`);
    if (!slide.querySelector("h1, h2, h3")) complaints.push("it has no heading");
    const said = document.querySelector(".slide-number").innerText.replace(/\\s+/g, " ").trim();
    const number = `${Reveal.getSlidePastCount() + 1} / ${Reveal.getTotalSlides()}`;
    if (said !== number) complaints.push(`its number is ${number}, it says ${said}`);
    return complaints;
}"""
# A cell that shows one slider.
SLIDER = """use forklore::figure::{Line, Slider};
Slider::new("powers").control("exponent", &["1", "2", "3"], 0).figures(|at| {
    let power = |x: i32| (f64::from(x), f64::from(x).powi(at[0] as i32 + 1));
    Line::new("a power").series("x^n", &[1, 2, 3].map(power)).figure()
})"""


def say(text):
    print(text, file=sys.stderr, flush=True)


# Each prediction whose number is not on the screen. What follows the number may be out of sight.
HIDDEN = r"""() => {
    const complaints = [];
    let n_asked = 0;
    for (const cell of document.querySelectorAll(".jp-Notebook .cm-content")) {
        const asking = cell.textContent.match(/predict\(\s*"[^"]*",\s*[^,)]*(\(\)[^,)]*)?/);
        if (!asking) continue;
        n_asked += 1;
        const range = document.createRange(), walker = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT);
        let left = asking.index + asking[0].length;
        while (walker.nextNode() && left > walker.currentNode.length) left -= walker.currentNode.length;
        range.setStart(walker.currentNode, left - 1);
        range.setEnd(walker.currentNode, left);
        const right = range.getBoundingClientRect().right;
        const edge = Math.min(innerWidth, cell.closest(".cm-scroller").getBoundingClientRect().right);
        if (!right || right > edge) complaints.push(`the number ends at ${right}, the window at ${edge}: ${cell.textContent}`);
    }
    return [n_asked, complaints];
}"""


def violations(page, what="document"):
    """What axe-core finds on what is shown, if it is grave."""
    found = page.evaluate(f"() => axe.run({what}, {{resultTypes: ['violations']}})")["violations"]
    first_of_its_kind = {}
    for violation in found:
        if violation["impact"] in GRAVE:
            for node in violation["nodes"]:
                reasons = node["any"] or node["all"] or node["none"]
                why = reasons[0]["message"] if reasons else violation["help"]
                # One of each kind says enough.
                first_of_its_kind.setdefault(why, f"{violation['impact']}: {violation['id']}: {why}: {node['html'][:150]}")
    return list(first_of_its_kind.values())


def moves(page, slider):
    """Whether a slider moves with the keyboard alone."""
    before = slider.input_value()
    slider.focus()
    page.keyboard.press("ArrowLeft" if before == slider.get_attribute("max") else "ArrowRight")
    return slider.input_value() != before


def schedules(page):
    """Plays the schedules that a figure has as examples, with the keyboard alone: each must come to what it says."""
    complaints = []
    for figure in page.locator("[data-scheduler]").all():
        if not figure.locator("[data-play]").is_visible():
            complaints.append("a scheduler has no buttons")
            continue
        examples = figure.locator("[data-example]").all()
        for example in examples:
            schedule, outcome = example.text_content().strip(), example.get_attribute("data-outcome")
            figure.locator("[data-restart]").focus()
            page.keyboard.press("Enter")
            for thread in schedule:
                page.keyboard.press(thread.lower())
            found, shown = figure.get_attribute("data-outcome"), figure.locator("[data-schedule]").inner_text()
            if (found, shown) != (outcome, schedule):
                complaints.append(f"the schedule {schedule} comes to {found} after {shown}, and should to {outcome}")
            page.keyboard.press("Backspace")
            if figure.get_attribute("data-outcome") != "Unfinished":
                complaints.append(f"one back from {schedule} is no step back")
        if not examples:
            complaints.append("a scheduler has no examples")
    return complaints


def keyboard(page):
    """Tries everything that folds, every slider and every scheduler with the keyboard alone."""
    complaints = schedules(page)
    for summary in page.locator("details > summary").all():
        details = summary.locator("xpath=..")
        if not summary.is_visible():
            continue
        before = details.get_attribute("open")
        summary.focus()
        page.keyboard.press("Enter")
        if details.get_attribute("open") == before:
            complaints.append(f"Enter does nothing at `{summary.inner_text()}`")
    for slider in page.locator("input[type=range]").all():
        if slider.is_visible() and not moves(page, slider):
            complaints.append("a slider does not move with the keyboard")
    return complaints


def look_at(page, path):
    """Everything that is wrong with a page."""
    fetched = []
    page.on("request", lambda request: fetched.append(request.url))
    page.on("pageerror", lambda error: fetched.append(f"error: {error}"))
    page.goto(path.absolute().as_uri())
    page.add_script_tag(path=str(AXE))
    complaints = []
    n_parts = 1
    if page.evaluate("() => typeof Reveal !== 'undefined'"):
        n_parts = 0
        page.wait_for_function("() => Reveal.isReady()")
        while True:
            n_parts += 1
            complaints += [f"slide {n_parts}: {what}" for what in look_at_slide(page)]
            if page.evaluate("() => Reveal.isLastSlide()"):
                break
            page.evaluate("() => Reveal.next()")
        # A section within a slide would be a slide to reveal.js, and all behind it would not be looked at.
        n_slides = page.evaluate("() => Reveal.getTotalSlides()")
        if n_parts != n_slides:
            complaints.append(f"{n_parts} slides were looked at, and there are {n_slides}")
    else:
        complaints += look_at_page(page)
    complaints += [f"the page fetches {url}" for url in fetched if not url.startswith(("file:", "data:", "blob:"))]
    say(f"  {path.name}: {n_parts} looked at, {len(complaints)} complaints")
    return complaints


def look_at_page(page):
    # Unfolded, so that what is inside is looked at, too.
    complaints = keyboard(page)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        complaints += [f"{scheme}: {what}" for what in violations(page)]
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 800})
        complaints += [f"{width} points wide: {what}" for what in page.evaluate(NARROW, SMALLEST_LETTER_PX)]
    # What scrolls sideways is out of reach only where it does.
    page.set_viewport_size({"width": WIDTHS[0], "height": 800})
    return complaints + [f"{WIDTHS[0]} points wide: {what}" for what in violations(page)]


def look_at_slide(page):
    while page.evaluate("() => Reveal.availableFragments().next"):
        page.evaluate("() => Reveal.nextFragment()")
    # What is around the slides is the same for all.
    what = "document" if page.evaluate("() => Reveal.isFirstSlide()") else "Reveal.getCurrentSlide()"
    return page.evaluate(SLIDE) + violations(page, what)


def pages(browser, arguments):
    complaints = []
    for path in arguments.pages:
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        complaints += [f"{path.name}: {what}" for what in look_at(page, path)]
        page.close()
    return complaints


class Learner:
    """A user of a notebook in JupyterLab."""

    def __init__(self, browser, shots, width=1300):
        self.page = browser.new_page(viewport={"width": width, "height": 950})
        self.page.set_default_timeout(PATIENCE_MS)
        self.shots = shots
        self.n_shots = 0

    def shoot(self, what):
        self.n_shots += 1
        self.page.screenshot(path=str(self.shots / f"{self.n_shots}-{what}.png"))

    def cell(self, text):
        """The first code cell with this text in it."""
        return self.page.locator(".jp-Notebook .jp-CodeCell").filter(has_text=text).first

    def wait_until_idle(self):
        # On a narrow page it is in the toolbar's menu.
        indicator = ".jp-Notebook-ExecutionIndicator[data-status=idle]"
        self.page.wait_for_selector(indicator, state="attached")

    def open(self, address):
        self.page.goto(address)
        self.page.wait_for_selector(".jp-Notebook .jp-CodeCell")
        self.wait_until_idle()

    def write(self, text, source):
        """Puts `source` in the place of what stands in the cell with `text` in it."""
        cell = self.cell(text)
        cell.scroll_into_view_if_needed()
        cell.locator(".cm-content").click()
        self.page.keyboard.press("Control+A")
        # As from the clipboard: the editor would add brackets of its own to what is typed.
        self.page.keyboard.insert_text(source)

    def run_all(self):
        self.page.get_by_role("menuitem", name="Run", exact=True).click()
        self.page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        # A folded cell shows no number.
        self.page.wait_for_function(
            """() => [...document.querySelectorAll('.jp-Notebook .jp-CodeCell .jp-InputPrompt:not(.jp-Placeholder-prompt)')]
                .every(prompt => /\\[\\d+\\]/.test(prompt.innerText))"""
        )
        self.wait_until_idle()

    def run(self, text):
        """Runs the cell with `text` in it, by the keyboard, and waits for its end."""
        cell = self.cell(text)
        prompt = cell.locator(".jp-InputPrompt")
        before = prompt.inner_text()
        cell.locator(".cm-content").click()
        self.page.keyboard.press("Shift+Enter")
        handle = prompt.element_handle()
        self.page.wait_for_function(
            "([prompt, before]) => prompt.innerText !== before && /\\[\\d+\\]/.test(prompt.innerText)",
            arg=[handle, before],
        )
        self.wait_until_idle()

    def said(self, text):
        """What the cell with `text` in it has put out."""
        area = self.cell(text).locator(".jp-OutputArea").first
        area.scroll_into_view_if_needed()
        return " ".join(area.inner_text().split())


def go_the_way(browser, arguments):
    exercise = json.loads(arguments.lesson.read_text(encoding="utf-8"))["exercises"][0]
    name = exercise["id"]
    solution = exercise["solution"]
    solution = solution if isinstance(solution, str) else "\n".join(solution)
    starter = solution.splitlines()[0]
    check = f'check("{name}"'
    complaints = []

    def expect(what, said):
        if what not in said:
            complaints.append(f"expected `{what}`, the page says: {said[:300]}")

    learner = Learner(browser, arguments.shots)
    learner.open(arguments.address)
    learner.shoot("opened")
    learner.write(
        "let guess: Prediction = predict(",
        'let guess: Prediction = predict("time of pool.map / of map:", 7.0);\nguess',
    )
    learner.shoot("predicted")
    learner.run_all()
    expect("you predicted", learner.said(".against(compared"))
    learner.shoot("prediction-beside-measurement")
    expect(f"exercise {name}: not yet", learner.said(check).lower())
    learner.shoot("not-yet")
    learner.write(starter, solution)
    learner.run(starter)
    learner.run(check)
    expect(f"exercise {name}: solved", learner.said(check).lower())
    learner.shoot("solved")
    # JupyterLab has plans of its own for the arrow keys.
    learner.write(check, SLIDER)
    learner.run(SLIDER.splitlines()[0])
    if not moves(learner.page, learner.page.locator(".jp-Notebook input[type=range]").last):
        complaints.append("a slider does not move with the keyboard in JupyterLab")
    learner.shoot("slid")
    return complaints


def predictions(browser, arguments):
    complaints = []
    for width in WIDTHS[1:]:
        learner = Learner(browser, arguments.shots, width)
        learner.open(arguments.address)
        # Cells are there before their text is.
        learner.page.wait_for_function(
            """() => [...document.querySelectorAll('.jp-Notebook .jp-CodeCell')]
                .every(cell => cell.querySelector('.cm-content')?.textContent.includes('predict('))"""
        )
        beside = learner.page.locator("#filebrowser").is_visible()
        n_asked, hidden = learner.page.evaluate(HIDDEN)
        learner.shoot(f"predictions-{width}")
        say(f"  {width} points wide, {'with' if beside else 'without'} the file browser: {n_asked} predictions")
        if width == WIDTHS[-1] and not beside:
            complaints.append("JupyterLab's file browser is not open")
        if not n_asked:
            complaints.append("there is no prediction")
        complaints += [f"{width} points wide: {what}" for what in hidden]
        learner.page.close()
    return complaints


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--chromium", required=True)
    commands = parser.add_subparsers(required=True)
    look = commands.add_parser("pages")
    look.add_argument("pages", type=Path, nargs="+")
    look.set_defaults(run=pages)
    learn = commands.add_parser("learner")
    learn.add_argument("address")
    learn.add_argument("--lesson", type=Path, required=True)
    learn.add_argument("--shots", type=Path, required=True)
    learn.set_defaults(run=go_the_way)
    ask = commands.add_parser("predictions")
    ask.add_argument("address")
    ask.add_argument("--shots", type=Path, required=True)
    ask.set_defaults(run=predictions)
    arguments = parser.parse_args()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=arguments.chromium, args=ARGUMENTS)
        complaints = arguments.run(browser, arguments)
        browser.close()
    for complaint in complaints:
        say(f"  {complaint}")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
