// What is being made: from the press of Make to the pictures, or to the sentence that says why there are none.
import * as api from "./api.js";
import { announce, memory } from "./dom.js";
import * as pictures from "./pictures.js";
import { onState, state } from "./state.js";
import { toast } from "./toast.js";

const PAUSES = [1000, 2000, 4000, 8000]; // ms before a request is sent again that the server did not hear
const LATE = 1500; // ms until a job is asked for of which the stream says nothing
let isFirst = true; // the order of jobs that a new stream begins with: what ended meanwhile is told by nobody
let changed = () => {};
let onAdded = () => {};

export const works = { make, cancel, retry, dismiss };

// `onChange()` is called when tiles came, went or changed, `onImage(image)` for each picture that is new.
export function startWorks(onChange, onImage) {
  changed = onChange;
  onAdded = onImage;
  onState((name, data) => {
    if (name === "job") take(data);
    if (name === "runner") changed();
    if (name === "stream") isFirst = true;
    if (name === "jobs") { setTimeout(askForMissing, isFirst ? 0 : LATE); isFirst = false; }
  });
  window.addEventListener("storage", (event) => { if (event.key === "cyberimage.jobs") takeOwned(); });
}

// A key for one press; `crypto.randomUUID` is there only where the page came by HTTPS or from this machine.
const newPress = () => [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

// Resolves to the accepted answer, or null if it was cancelled before; raises ApiError where the server refuses it.
async function make(request) {
  const newest = Math.max(Date.now(), ...pictures.list.fresh.map((group) => group.time + 1));
  const group = pictures.addFresh(pictures.makeGroup(`press-${newPress()}`, { time: newest, request }));
  changed();
  return settle(group, (press) => api.generate(request, press));
}

async function settle(group, send) {
  let answer;
  try {
    answer = await sendUntilHeard(group, send, newPress());
  } catch (error) {
    pictures.drop(group);
    changed();
    throw error;
  }
  if (group.isCancelled) {
    if (answer.job_id) await api.cancel(answer.job_id);
    return null;
  }
  pictures.own(answer.job_id);
  const other = pictures.find(answer.job_id); // made by the stream, which was quicker
  if (other) pictures.drop(other);
  for (const image of other?.images.values() ?? []) pictures.putImage(group, image);
  group.id = answer.job_id;
  group.note = "";
  const status = other?.status ?? state.jobs.get(answer.job_id);
  if (status) take(status); else setTimeout(() => { if (!group.status && group.request) ask(group.id); }, LATE);
  changed();
  return answer;
}

// The same key each time: however often it is sent, one job comes of it.
async function sendUntilHeard(group, send, press) {
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await send(press);
    } catch (error) {
      if (error.status !== 0) throw error;
      group.note = "Not sent yet: the server cannot be reached";
      changed();
      await new Promise((resume) => { setTimeout(resume, PAUSES[Math.min(attempt, PAUSES.length - 1)]); });
      if (group.isCancelled) return { job_id: "" };
    }
  }
}

// Whether a job may be one whose press was not answered yet.
export const isBeingSent = (prompt) => pictures.list.fresh.some((group) => group.id.startsWith("press-") && group.request?.prompt === prompt);

function take(status) {
  if (!pictures.find(status.id) && isBeingSent(status.prompt)) return; // the answer to the press tells whose it is
  takes[status.status](status);
  changed();
}

const takes = {
  pending(status) {
    if (pictures.isMine(status.id) || pictures.find(status.id)) hold(status);
  },
  processing: hold,
  completed(status) {
    const group = pictures.find(status.id);
    if (group) end(group, status);
    if (pictures.isMine(status.id)) announce(`${status.message}: ${status.prompt}`);
    pictures.disown(status.id);
  },
  failed(status) {
    const group = pictures.find(status.id);
    if (status.error_type === "cancelled" || !pictures.isMine(status.id)) {
      if (group) end(group, status);
      pictures.disown(status.id);
      return;
    }
    if (!group || group.status?.status !== "failed") announce(`Not drawn: ${status.prompt}. ${status.message}`);
    hold(status);
  },
};

function hold(status) {
  const group = pictures.freshGroup(status.id, Date.parse(status.created_at));
  Object.assign(group, { status, request: null, problem: "" });
  addImages(group, status);
}

function end(group, status) {
  addImages(group, status);
  Object.assign(group, { status: null, request: null });
  if (!group.images.size) pictures.drop(group);
}

// A picture of a job's status as the gallery lists it.
function addImages(group, status) {
  for (const { id, created_at: createdAt, metadata } of status.images) {
    const number = metadata.image_number;
    if (group.images.has(number) || group.gone.has(number)) continue;
    const image = { id, created_at: createdAt, job_id: status.id, favourite: false, labels: status.labels ?? [], ...metadata };
    if (!pictures.findImage(id)) onAdded(image);
    pictures.putImage(group, image);
  }
}

// Jobs that ended while nobody listened: those of this browser, and those whose tiles still wait.
function askForMissing() {
  const active = new Set(state.order);
  if (state.more) return;
  const shown = pictures.list.fresh.filter((group) => pictures.isComing(group) && !group.id.startsWith("press-")).map(({ id }) => id);
  const known = (id) => pictures.find(id)?.status?.status === "failed";
  for (const id of new Set([...pictures.mineIds(), ...shown])) if (!active.has(id) && !known(id)) ask(id);
}

// Another tab of this browser pressed Make.
function takeOwned() {
  for (const id of memory.readJson("cyberimage.jobs", [])) {
    if (pictures.isMine(id)) continue;
    pictures.own(id);
    if (state.jobs.has(id)) take(state.jobs.get(id));
  }
}

async function ask(id) {
  try {
    take(await api.status(id));
  } catch (error) {
    if (error.status !== 404) return;
    const group = pictures.find(id);
    pictures.disown(id);
    if (group) end(group, { images: [] });
    changed();
  }
}

const quoted = (words) => `“${words.length > 60 ? `${words.slice(0, 58)}…` : words}”`;

async function cancel(id) {
  const group = pictures.find(id);
  const words = quoted(group?.status?.prompt ?? group?.request?.prompt ?? state.jobs.get(id)?.prompt ?? "");
  if (group?.id.startsWith("press-")) {
    group.isCancelled = true;
    pictures.drop(group);
    changed();
    toast(`Cancelled: ${words}.`);
    return;
  }
  try {
    const { cancelled } = await api.cancel(id);
    toast(cancelled ? `Cancelled: ${words}.` : `It stops at its next step: ${words}.`, {
      label: "Make it after all", run: () => again(id), seconds: 8,
    });
    if (cancelled && group) { end(group, { images: [] }); changed(); }
  } catch (error) {
    toast(error.message, { seconds: 8 });
  }
}

async function again(id) {
  try {
    await retry(id);
  } catch (error) {
    toast(error.message, { seconds: 8 });
  }
}

// Sends an ended job again; its tile, if there is one, waits from now on.
async function retry(id, summary = null) {
  const group = pictures.find(id) ?? pictures.addFresh(pictures.makeGroup(id, { time: Date.now() }));
  const status = group.status ?? summary ?? await api.status(id);
  pictures.disown(id);
  const fresh = { id: `press-${id}`, status: null, problem: "", isCancelled: false, note: "" };
  Object.assign(group, fresh, { request: { prompt: status.prompt, settings: status.effective_settings } });
  changed();
  try {
    await settle(group, (press) => api.retry(id, press));
  } catch (error) {
    pictures.addFresh(Object.assign(group, { id, problem: error.message, request: null, status }));
    changed();
    throw error;
  }
}

function dismiss(id) {
  const group = pictures.find(id);
  pictures.disown(id);
  if (group) end(group, { images: [] });
  changed();
}
