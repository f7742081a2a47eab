"use strict";
(function () {
  const data = JSON.parse(document.getElementById("data").textContent);
  const all = (selector) => Array.from(document.querySelectorAll(selector));
  const one = (selector) => document.querySelector(selector);
  const faces = all(".faces button");
  const strips = all(".time");
  let chosen = 0;

  function clamp(value, low, high) { return Math.min(Math.max(value, low), high); }

  function segmentAt(seconds) {
    const found = data.segments.findIndex((s) => seconds < s.end);
    return found < 0 ? data.segments.length - 1 : found;
  }

  function showBars(values, caption) {
    all(".bars .bar").forEach((row, i) => {
      const value = values[i];
      row.querySelector(".fill").style.width = (value === null ? 0 : 100 * value) + "%";
      row.querySelector(".value").textContent = value === null ? "–" : value.toFixed(2);
    });
    one("#when").textContent = caption;
  }

  const whole = one("#whole");

  function showWhole() {
    showBars(data.whole, data.wholeCaption);
    whole.hidden = true;
    (faces[chosen] || strips[0]).focus();
  }

  function show(index, withBars) {
    chosen = clamp(index, 0, data.samples.length - 1);
    const sample = data.samples[chosen];
    faces.forEach((button, i) => {
      button.setAttribute("aria-current", String(i === chosen));
      button.tabIndex = i === chosen ? 0 : -1;
    });
    if (faces.length) {
      const list = one(".faces.many");
      if (list) list.scrollTop = faces[chosen].offsetTop - list.clientHeight / 2 + faces[chosen].offsetHeight / 2;
      const shown = faces[chosen].querySelector(".crop").childNodes;
      one(".viewer .crop").replaceChildren(...Array.from(shown, (node) => node.cloneNode(true)));
    }
    one("#at").textContent = sample.label;
    one("#state").textContent = sample.state;
    if (sample.attention !== null) one("#weight").textContent = sample.attention;
    all(".cursor").forEach((line) => { line.style.left = 100 * sample.time / data.duration + "%"; line.hidden = false; });
    strips.forEach((strip) => {
      strip.setAttribute("aria-valuenow", String(chosen));
      strip.setAttribute("aria-valuetext", [sample.label, sample.state].filter(Boolean).join(", "));
    });
    if (withBars && data.timeline) {
      const segment = data.segments[segmentAt(sample.time)];
      showBars(segment.values, segment.caption);
      whole.hidden = false;
    }
  }

  function moved(event, down) {  // down: a row of faces on, or, on a slider, one back
    const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: down, ArrowUp: -down, PageDown: 8 * down, PageUp: -8 * down }[event.key];
    if (step) return chosen + step;
    if (event.key === "Home") return 0;
    if (event.key === "End") return data.samples.length - 1;
    return null;
  }

  faces.forEach((button, i) => {
    button.addEventListener("click", () => show(i, true));
    button.addEventListener("keydown", (event) => {
      const next = moved(event, 8);
      if (next === null) return;
      event.preventDefault();
      show(next, true);
      faces[chosen].focus();
    });
  });
  strips.forEach((strip) => {
    const point = (event) => {
      const box = strip.getBoundingClientRect();
      const seconds = clamp((event.clientX - box.left) / box.width, 0, 1) * data.duration;
      let best = 0;
      data.samples.forEach((s, i) => { if (Math.abs(s.time - seconds) < Math.abs(data.samples[best].time - seconds)) best = i; });
      show(best, true);
    };
    strip.addEventListener("pointerdown", point);
    strip.addEventListener("pointermove", (event) => { if (event.buttons) point(event); });
    strip.addEventListener("keydown", (event) => {
      const next = moved(event, -1);
      if (next === null) return;
      event.preventDefault();
      show(next, true);
    });
  });
  const toggle = one("#attention");
  if (toggle) {
    const apply = () => document.body.classList.toggle("attention", toggle.checked);
    toggle.addEventListener("change", apply);
    apply();
  }
  if (whole) whole.addEventListener("click", showWhole);
  if (data.samples.length) show(data.first, false);
})();
