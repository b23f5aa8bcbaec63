//! The figure's script: an interpreter of the same steps as the [`model`](super::model).

/// Keeps the state of each figure on the page, and draws it after each turn.
pub(super) const SCRIPT: &str = r##"(function () {
  "use strict";
  var LETTERS = ["A", "B"];
  var roots = document.querySelectorAll("[data-scheduler]:not([data-runs])");
  Array.prototype.forEach.call(roots, function (root) {
    root.setAttribute("data-runs", "");
    var program = JSON.parse(root.getAttribute("data-program")), steps = program.steps;
    var one = function (what) { return root.querySelector(what); };
    var all = function (what) { return Array.prototype.slice.call(root.querySelectorAll(what)); };
    var buttons = [one('[data-thread="0"]'), one('[data-thread="1"]')];
    var lists = [0, 1].map(function (thread) { return all('[data-steps="' + thread + '"] [data-step]'); });
    var hasLocks = steps[0].some(function (step) { return step[0] === "lock"; });
    var moves = steps[0].some(function (step) { return step[0] === "move"; });
    var stores = 0;
    steps.forEach(function (list) { list.forEach(function (step) { stores += step[0] === "store" ? 1 : 0; }); });
    var schedule = [];

    function start() {
      return { done: [0, 0], registers: [null, null], count: program.count, holders: [null, null], waits: [null, null],
               accounts: [program.account, program.account], said: "Nothing has happened yet." };
    }
    function next(state, thread) { return steps[thread][state.done[thread]]; }
    function isReady(state, thread) {
      var waits = state.waits[thread];
      return Boolean(next(state, thread)) && (waits === null || state.holders[waits] === null);
    }
    function turn(state, thread) {
      var step = next(state, thread), name = "Thread " + LETTERS[thread];
      if (step[0] === "load") {
        state.registers[thread] = state.count;
        state.said = name + " loads " + state.count + ".";
      } else if (step[0] === "add") {
        state.registers[thread] += 1;
        state.said = name + " adds 1: it has " + state.registers[thread] + ".";
      } else if (step[0] === "store") {
        state.count = state.registers[thread];
        state.said = name + " stores " + state.count + ".";
      } else if (step[0] === "move") {
        state.accounts[step[1]] -= program.amount;
        state.accounts[step[2]] += program.amount;
        state.said = name + " moves " + program.amount + " from account " + step[1] + " to account " + step[2] + ".";
      } else if (step[0] === "unlock") {
        state.holders[step[1]] = null;
        state.said = name + " gives lock " + step[1] + " back.";
      } else if (state.holders[step[1]] !== null) {
        state.waits[thread] = step[1];
        state.said = name + " waits for lock " + step[1] + ", which thread " + LETTERS[state.holders[step[1]]] + " holds.";
        return;
      } else {
        state.holders[step[1]] = thread;
        state.said = name + " takes lock " + step[1] + ".";
      }
      state.waits[thread] = null;
      state.done[thread] += 1;
    }
    function outcome(state) {
      var left = [0, 1].filter(function (thread) { return next(state, thread); });
      if (left.length === 0) { return state.count === program.count + stores ? "Right" : "Lost"; }
      return left.some(function (thread) { return isReady(state, thread); }) ? "Unfinished" : "Deadlock";
    }
    function ending(state, found) {
      if (found === "Right" && moves) { return " Both threads have ended. The accounts have " + (state.accounts[0] + state.accounts[1]) + " together, as they should."; }
      if (found === "Right") { return " Both threads have ended. The count is " + state.count + ", as it should be."; }
      if (found === "Lost") { return " Both threads have ended. The count is " + state.count + " and should be " + (program.count + stores) + ": an addition is lost."; }
      if (found === "Deadlock") { return " Deadlock: each thread waits for the lock that the other holds, and no step is left that could be done."; }
      return "";
    }
    function draw() {
      var state = start();
      schedule.forEach(function (thread) { turn(state, thread); });
      var found = outcome(state);
      root.setAttribute("data-outcome", found);
      one("[data-said]").textContent = state.said + ending(state, found);
      one("[data-said]").style.borderLeftColor = { Right: "#009E73", Lost: "#D55E00", Deadlock: "#D55E00" }[found] || "#0072B2";
      one("[data-schedule]").textContent = schedule.map(function (thread) { return LETTERS[thread]; }).join("") || "(empty)";
      one("[data-memory]").textContent = moves ? "accounts: " + state.accounts.join(" and ") : "count: " + state.count;
      one("[data-locks]").textContent = !hasLocks ? "" : state.holders.slice(0, moves ? 2 : 1).map(function (holder, lock) {
        return "lock " + lock + ": " + (holder === null ? "free" : "held by " + LETTERS[holder]);
      }).join("; ");
      [0, 1].forEach(function (thread) {
        var register = state.registers[thread], step = next(state, thread), waits = state.waits[thread];
        one('[data-register="' + thread + '"]').textContent = moves ? "" : "register: " + (register === null ? "empty" : register);
        lists[thread].forEach(function (line, index) {
          var isNext = index === state.done[thread], isDone = index < state.done[thread];
          line.querySelector("[data-mark]").textContent = isDone ? " ✓ done" : isNext && waits !== null ? " ■ waits" : isNext ? " ◀ next" : "";
          line.style.outline = isNext ? "2px solid currentColor" : "none";
          line.style.fontWeight = isNext ? "bold" : "normal";
        });
        var ready = isReady(state, thread);
        buttons[thread].textContent = "Thread " + LETTERS[thread] + ": " + (!step ? "ended" : ready ? lists[thread][state.done[thread]].firstChild.nodeValue : "waits");
        buttons[thread].setAttribute("aria-disabled", ready ? "false" : "true");
        buttons[thread].style.opacity = ready ? "1" : ".75";
      });
    }
    function press(thread) {
      var state = start();
      schedule.forEach(function (earlier) { turn(state, earlier); });
      if (isReady(state, thread)) { schedule.push(thread); draw(); }
    }
    buttons.forEach(function (button, thread) { button.addEventListener("click", function () { press(thread); }); });
    one("[data-back]").addEventListener("click", function () { schedule.pop(); draw(); });
    one("[data-restart]").addEventListener("click", function () { schedule = []; draw(); });
    one("[data-play]").addEventListener("keydown", function (event) {
      if (event.ctrlKey || event.altKey || event.metaKey) { return; }
      var key = event.key.toUpperCase();
      if (key === "A" || key === "B") { press(LETTERS.indexOf(key)); }
      else if (event.key === "Backspace") { schedule.pop(); draw(); }
      else { return; }
      event.preventDefault();
      event.stopPropagation();
    });
    one("[data-play]").hidden = false;
    one("[data-outcomes]").open = false;
    draw();
  });
})();"##;
