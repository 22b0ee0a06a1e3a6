// The one stream of the page, GET /api/events. Read with fetch, since an EventSource cannot send a key. On connecting the
// server sends the whole present state, so that whatever was missed while the stream was cut is made good by coming back.
import { address, read } from "./api.js";
import { send, whenKeyChanges } from "./key.js";
import { beginStream, setProblem, take } from "./state.js";

const SILENCE = 40_000; // ms; the server says something every 15 seconds
const PAUSES = [300, 1000, 2000, 4000]; // ms before the next attempts
const ASIDE = 30_000; // ms until a tab that nobody sees gives its connection back: a browser has six to a server in all
let attempts = 0;
let wake = () => {};
let reading = null;
let isAside = false;

// `isNeeded` tells whether a hidden tab still has something to follow.
export function startStream(isNeeded) {
  for (const name of ["online", "focus", "pageshow"]) window.addEventListener(name, () => wake());
  whenKeyChanges(() => { reading?.abort(); wake(); });
  let leaving = 0;
  const goAside = () => {
    isAside = document.hidden && !isNeeded();
    if (isAside) reading?.abort();
    else if (document.hidden) leaving = setTimeout(goAside, ASIDE);
  };
  document.addEventListener("visibilitychange", () => {
    clearTimeout(leaving);
    if (document.hidden) leaving = setTimeout(goAside, ASIDE);
    else { isAside = false; attempts = 0; wake(); }
  });
  run();
}

async function run() {
  for (;;) {
    const problem = await follow();
    if (isAside) {
      await new Promise((resume) => { wake = resume; });
      continue;
    }
    if (attempts > 0 || problem) setProblem(problem || "The server cannot be reached. This page tries again by itself.");
    await pause(PAUSES[Math.min(attempts, PAUSES.length - 1)]);
    attempts += 1;
  }
}

function pause(time) {
  return new Promise((resume) => {
    wake = resume;
    setTimeout(resume, time);
  });
}

// Ends when the stream does, with a sentence if the server said why.
async function follow() {
  reading = new AbortController();
  try {
    const answer = await send(address("api/events"), { headers: { Accept: "text/event-stream" }, signal: reading.signal });
    if (!answer.ok) return read(await answer.text()).message || `The server answered ${answer.status}.`;
    let isNew = true;
    for await (const { name, data } of events(answer.body)) {
      attempts = 0;
      setProblem("");
      if (name && isNew) beginStream();
      isNew = !name && isNew;
      if (name) take(name, read(data));
    }
  } catch { /* the server is away, or this tab is: the next attempt tells */ }
  return "";
}

async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  const { signal } = reading;
  let text = "";
  try {
    for (;;) {
      const patience = setTimeout(() => reading.abort(), SILENCE);
      const { value, done } = await reader.read().finally(() => clearTimeout(patience));
      if (done || signal.aborted) return;
      const blocks = (text + value).split("\n\n");
      text = blocks.pop();
      for (const block of blocks) yield parsed(block);
    }
  } finally {
    reading.abort(); // gives the connection back
  }
}

function parsed(block) {
  const found = { name: "", data: "" };
  for (const line of block.split("\n")) {
    if (line.startsWith("event: ")) found.name = line.slice(7);
    else if (line.startsWith("data: ")) found.data += line.slice(6);
  }
  return found;
}
