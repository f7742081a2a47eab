// SPDX-License-Identifier: Apache-2.0
import { files } from "/static/files.js";
import { live } from "/static/live.js";
import { $, reason } from "/static/parts.js";

async function begin() {
  const response = await fetch("/v1/model");
  if (response.status === 401) {
    $("#login").hidden = false;
    $("#token").focus();
    return;
  }
  if (!response.ok) throw new Error(await reason(response));
  const model = await response.json();
  $("#login").hidden = true;
  $("main").hidden = false;
  $("#note").textContent = model.note;
  $("#note").hidden = !model.note;
  const { max_megabytes: size, max_seconds: seconds } = model.limits;
  $("#limits").textContent = `up to ${size} MB and ${seconds >= 120 ? `${Math.round(seconds / 60)} minutes` : `${seconds} s`} each; ${model.keeps ? "answers and their pages are kept on the server" : "nothing is stored"}`;
  files(model);
  if (model.limits.live > 0) live(model);
  else $("#live").hidden = true;
}

$("#login form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const response = await fetch("/v1/login", { method: "POST", body: $("#token").value });
  if (response.ok) begin();
  else $("#login .wrong").textContent = await reason(response);
});

begin().catch((error) => {
  const section = document.createElement("section");
  section.textContent = `The server does not answer: ${error.message}`;
  document.body.append(section);
});
