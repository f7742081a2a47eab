// SPDX-License-Identifier: Apache-2.0
// The camera: pictures (JPEG) and sound (16 bits) go over a websocket, an answer a second comes back.
import { $, bars } from "/static/parts.js";

const FPS = 15, WIDTH = 480, QUALITY = 0.8;
const SPAN = 120; // seconds of the timeline
const COLOURS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#8c7a00"];
const MOST_WAITING = 1_000_000; // bytes; beyond that pictures are left out, so that they do not become old on the way

export function live(model) {
  let stop = null;
  const agreed = $("#agreed"), on = $("#on");
  agreed.addEventListener("change", () => { on.disabled = !agreed.checked; });
  on.addEventListener("click", async () => {
    on.disabled = true;
    $("#trouble").textContent = "";
    try {
      stop = await start(model, (why) => { $("#trouble").textContent = why; end(); });
      $("#consent").hidden = true;
      $("#studio").hidden = false;
      $("#off").focus();
    } catch (error) {
      $("#trouble").textContent = error.message;
      on.disabled = false;
    }
  });
  $("#off").addEventListener("click", end);
  addEventListener("pagehide", end);

  function end() {
    if (stop) stop();
    stop = null;
    $("#studio").hidden = true;
    $("#consent").hidden = false;
    agreed.checked = false; // consent is for once
    on.disabled = true;
    $("#latency").textContent = "";
  }
}

async function start(model, failed) {
  if (!navigator.mediaDevices) throw new Error("the browser lends cameras to pages of this computer or over https only");
  const media = await open();
  const camera = $("#camera"), sounds = media.getAudioTracks().length > 0;
  camera.srcObject = media;
  await camera.play();
  const canvas = document.createElement("canvas");
  canvas.width = WIDTH;
  canvas.height = Math.max(32, Math.round(WIDTH * camera.videoHeight / camera.videoWidth / 2) * 2);
  const context = canvas.getContext("2d");
  const audio = sounds ? new AudioContext() : null;
  const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/v1/live`);
  socket.binaryType = "arraybuffer";
  const screen = show(model);
  let timer = null, over = false;

  const send = (kind, time, data) => {
    if (socket.readyState !== WebSocket.OPEN) return;
    const head = new DataView(new ArrayBuffer(9));
    head.setUint8(0, kind.charCodeAt(0));
    head.setFloat64(1, time, true);
    socket.send(new Blob([head, data]));
  };
  const picture = () => {
    if (socket.bufferedAmount > MOST_WAITING) return;
    const time = performance.now();
    context.drawImage(camera, 0, 0, canvas.width, canvas.height);
    canvas.toBlob((blob) => blob && send("P", time, blob), "image/jpeg", QUALITY);
  };
  socket.addEventListener("open", () => {
    socket.send(JSON.stringify({ width: canvas.width, height: canvas.height, sample_rate: audio ? audio.sampleRate : 0 }));
    timer = setInterval(picture, 1000 / FPS);
    if (audio) listen(audio, media, send).catch(() => failed("the microphone cannot be heard"));
  });
  socket.addEventListener("message", (event) => screen(JSON.parse(event.data)));
  socket.addEventListener("close", (event) => {
    if (!over) failed(event.reason || "the server hung up");
  });
  return () => {
    over = true;
    clearInterval(timer);
    socket.close();
    if (audio) audio.close();
    for (const track of media.getTracks()) track.stop();
    camera.srcObject = null;
  };
}

/** Camera and microphone; the camera alone where there is no microphone. */
async function open() {
  const video = { width: { ideal: 640 }, height: { ideal: 480 }, frameRate: { ideal: FPS } };
  try {
    return await navigator.mediaDevices.getUserMedia({ video, audio: true });
  } catch (error) {
    if (error.name !== "NotFoundError") throw new Error(`no camera: ${error.message}`);
    return await navigator.mediaDevices.getUserMedia({ video });
  }
}

async function listen(audio, media, send) {
  await audio.audioWorklet.addModule("/static/microphone.js");
  const node = new AudioWorkletNode(audio, "microphone", { numberOfOutputs: 0 });
  audio.createMediaStreamSource(media).connect(node);
  await audio.resume();
  node.port.onmessage = ({ data }) => send("S", performance.now() - 1000 * data.length / audio.sampleRate, data);
}

/** Shows answers: bars, crop, timeline and how old what they are of is by now. */
function show(model) {
  const set = bars($("#now"), model.emotions), history = [];
  $("#key").replaceChildren(...model.emotions.map((name, i) => {
    const item = document.createElement("li"), sign = document.createElement("i");
    sign.style.background = COLOURS[i % COLOURS.length];
    item.append(sign, name);
    return item;
  }));
  $("#seen").textContent = "The first answer comes after two seconds.";
  return (answer) => {
    const late = (performance.now() - answer.newest) / 1000;
    $("#latency").textContent = `${late.toFixed(1)} s from picture to bars`;
    $("#latency").dataset.seconds = late;
    if (answer.error) {
      $("#seen").textContent = answer.error;
      return;
    }
    set(answer.values);
    const words = answer.face === "none" ? "no face" : `face ${answer.face}`;
    const others = answer.others ? `, others: ${answer.others}` : "";
    $("#seen").textContent = `${words}${others}, ${answer.sound ? "sound" : "no sound"}; of the last ${answer.seconds.toFixed(0)} s`;
    const crop = $("#crop");
    if (answer.crop) {
      const image = crop.querySelector("img") || crop.appendChild(document.createElement("img"));
      image.alt = "The crop that the network saw last";
      image.src = answer.crop;
    } else crop.querySelector("img")?.remove();
    history.push({ time: answer.newest / 1000, values: answer.values });
    while (history[0].time < answer.newest / 1000 - SPAN) history.shift();
    draw($("#timeline"), history, model.emotions);
  };
}

function draw(canvas, history, emotions) {
  const scale = devicePixelRatio || 1;
  canvas.width = canvas.clientWidth * scale;
  canvas.height = canvas.clientHeight * scale;
  const context = canvas.getContext("2d"), { width, height } = canvas, edge = 6 * scale;
  const now = history[history.length - 1].time;
  const x = (time) => width - edge - (now - time) / SPAN * (width - 2 * edge);
  const y = (value) => height - edge - value * (height - 2 * edge);
  context.strokeStyle = getComputedStyle(canvas).getPropertyValue("--line");
  context.setLineDash([4 * scale, 4 * scale]);
  context.beginPath();
  context.moveTo(0, y(0.5));
  context.lineTo(width, y(0.5));
  context.stroke();
  context.setLineDash([]);
  context.lineWidth = 2 * scale;
  emotions.forEach((name, i) => {
    context.strokeStyle = context.fillStyle = COLOURS[i % COLOURS.length];
    context.beginPath();
    for (const { time, values } of history) context.lineTo(x(time), y(values[name]));
    context.stroke();
    context.beginPath();
    context.arc(x(now), y(history[history.length - 1].values[name]), 3 * scale, 0, 7);
    context.fill();
  });
}
