// A job as the server tells it, without asking again and again: GET /api/jobs/<id>/events.
// Read with fetch, since an EventSource cannot send a key.
import { ApiError, eventsAddress, read } from "./api.js";
import { send } from "./key.js";

const SILENCE = 40_000; // ms; the server says something every 15 seconds
const last = new Map(); // job id: id of the last event seen, which need not be told again

// Calls `onStatus` with each status; resolves at the job's end, and throws when the stream breaks.
export async function follow(id, onStatus, signal) {
  const reading = new AbortController();
  signal.addEventListener("abort", () => reading.abort(), { once: true });
  const headers = { Accept: "text/event-stream", ...(last.has(id) && { "Last-Event-ID": last.get(id) }) };
  const answer = await send(eventsAddress(id), { headers, signal: reading.signal });
  if (answer.status === 204) return;
  if (!answer.ok) throw new ApiError("The events of a job cannot be read.", answer.status);
  for await (const { name, data, event } of events(answer.body, reading)) {
    if (name === "end") {
      last.delete(id);
      return;
    }
    if (event) last.set(id, event);
    if (name === "status") onStatus(read(data));
  }
  throw new ApiError("The stream ended before the job.", 0);
}

async function* events(body, reading) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  try {
    for (;;) {
      const patience = setTimeout(() => reading.abort(), SILENCE);
      const { value, done } = await reader.read().finally(() => clearTimeout(patience));
      if (done) return;
      const blocks = (text + value).split("\n\n");
      text = blocks.pop();
      for (const block of blocks) yield parsed(block);
    }
  } finally {
    reading.abort(); // gives the connection back
  }
}

function parsed(block) {
  const found = { name: "", data: "", event: "" };
  for (const line of block.split("\n")) {
    if (line.startsWith("event: ")) found.name = line.slice(7);
    else if (line.startsWith("data: ")) found.data = line.slice(6);
    else if (line.startsWith("id: ")) found.event = line.slice(4);
  }
  return found;
}
