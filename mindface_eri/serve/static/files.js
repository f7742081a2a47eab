// SPDX-License-Identifier: Apache-2.0
// Files that are dropped or chosen: two at a time are sent, and each shows how far it is, then its answer.
import { $, bars } from "/static/parts.js";

const AT_ONCE = 2;
const STEPS = ["upload", "reading", "face and sound", "network"];
const pause = (seconds) => new Promise((go) => setTimeout(go, 1000 * seconds));

export function files(model) {
  const waiting = [], answers = [];
  let running = 0;

  async function next() {
    if (running >= AT_ONCE || !waiting.length) return;
    running += 1;
    const job = waiting.shift();
    try {
      const answer = await send(job);
      show(job.item, answer, model);
      answers.push(answer);
      $("#all").hidden = false;
      $("#status").textContent = `${job.file.name} is answered`;
    } catch (error) {
      step(job.item, null);
      job.item.classList.add("finished");
      $(".stage", job.item).textContent = "no answer";
      $(".wrong", job.item).textContent = error.message;
      $("#status").textContent = `${job.file.name}: ${error.message}`;
    }
    running -= 1;
    next();
  }

  function take(chosen) {
    for (const file of chosen) {
      const item = $("#clip").content.firstElementChild.cloneNode(true);
      $("h3", item).textContent = file.name;
      $(".stage", item).textContent = "waiting";
      $("#clips").prepend(item);
      waiting.push({ file, item });
      next();
    }
  }

  const drop = $("#drop"), input = $("#files");
  input.addEventListener("change", () => { take(input.files); input.value = ""; });
  for (const kind of ["dragenter", "dragover"]) {
    addEventListener(kind, (event) => { event.preventDefault(); drop.classList.add("over"); });
  }
  for (const kind of ["dragleave", "drop"]) addEventListener(kind, () => drop.classList.remove("over"));
  addEventListener("drop", (event) => { event.preventDefault(); take(event.dataTransfer.files); });
  for (const button of document.querySelectorAll("#all button")) {
    button.addEventListener("click", () => save(answers, button.dataset.form));
  }
}

/** Sends a file, comes again where the server is full, and waits for its answer. */
async function send({ file, item }) {
  for (;;) {
    step(item, "upload");
    const { status, body, again } = await post(file, (share) => { $("progress", item).value = 0.5 * share; });
    if (status === 202) return await watch(body, item);
    if (status !== 429) throw new Error(body.detail || `the server answered ${status}`);
    $(".stage", item).textContent = "the server is full; waiting";
    await pause(again);
  }
}

function post(file, progress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest(), form = new FormData();
    form.append("page", "1");
    form.append("file", file);
    request.open("POST", "/v1/predictions");
    request.setRequestHeader("Prefer", "respond-async");
    request.responseType = "json";
    request.upload.addEventListener("progress", (event) => progress(event.loaded / Math.max(event.total, 1)));
    request.addEventListener("load", () => resolve({
      status: request.status, body: request.response || {}, again: Number(request.getResponseHeader("Retry-After")) || 2 }));
    request.addEventListener("error", () => reject(new Error("the server cannot be reached, or hung up; try again")));
    request.send(form);
  });
}

async function watch(answer, item) {
  while (answer.state === "queued" || answer.state === "running") {
    step(item, answer.stage);
    await pause(0.3);
    const response = await fetch(answer.href);
    answer = await response.json();
    if (!response.ok) throw new Error(answer.detail);
  }
  if (answer.problem) throw new Error(answer.problem.detail);
  return answer;
}

function step(item, stage) {
  const place = STEPS.indexOf(stage);
  [...$(".steps", item).children].forEach((part, i) => {
    part.toggleAttribute("data-done", i < place || (stage === "waiting" && i === 0));
    part.toggleAttribute("data-now", i === place);
  });
  $(".stage", item).textContent = stage || "";
  if (place > 0) $("progress", item).value = 0.5 + 0.15 * place;
}

function show(item, answer, model) {
  item.classList.add("finished");
  $(".stage", item).textContent = `${answer.seconds.toFixed(1)} s${answer.rows.length > 1 ? `, mean of ${answer.rows.length} windows` : ""}`;
  bars($(".bars", item), model.emotions)(answer.mean);
  $(".quality", item).textContent = answer.quality;
  for (const [kind, place] of Object.entries(answer.links)) $(`.${kind}`, item).href = place;
  $("details", item).addEventListener("toggle", function () {
    if (this.querySelector("iframe")) return;
    const frame = document.createElement("iframe");
    frame.title = `Page of ${answer.file}`;
    frame.src = answer.links.html;
    this.append(frame);
  });
  $(".answer", item).hidden = false;
}

/** The rows of all answers as one file, made by the server for each and joined here. */
async function save(answers, form) {
  const texts = await Promise.all(answers.map(async (answer) => {
    const response = await fetch(answer.links[form]);
    return response.ok ? response.text() : "";
  }));
  let text;
  if (form === "json") text = JSON.stringify(texts.filter(Boolean).flatMap((one) => JSON.parse(one)), null, 2);
  else {
    const timed = texts.filter((one) => one.startsWith("File_ID,start")), plain = texts.filter((one) => !timed.includes(one));
    text = [plain, timed].map((some) => some.map((one, i) => (i ? one.slice(one.indexOf("\n") + 1) : one)).join("")).filter(Boolean).join("\n");
  }
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: form === "csv" ? "text/csv" : "application/json" }));
  link.download = `predictions.${form}`;
  link.click();
  URL.revokeObjectURL(link.href);
}
