// What the server does now, as its one stream tells it: the queue, the runner, and the jobs that are active.
export const state = {
  queue: null, // the counts of GET /api/queue, `paused` and `eta_seconds`
  runner: null, // { state, message, devices }
  order: [], // ids of the active jobs in the order in which they are drawn
  more: 0, // active jobs beyond these
  jobs: new Map(), // id: its status, while it is active
  problem: "", // a sentence, while the server cannot be heard
};

const listeners = new Set();

// `listener(name, data)` is called after each event; "problem" when the stream broke or came back, "stream" when one begins.
export function onState(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export const isFinal = (status) => status.status === "completed" || status.status === "failed";
export const waiting = () => state.order.map((id) => state.jobs.get(id)).filter((job) => job?.status === "pending");
export const running = () => [...state.jobs.values()].filter((job) => job.status === "processing");

const events = {
  queue(data) { state.queue = data; },
  runner(data) { state.runner = data; },
  jobs({ order, more = 0 }) {
    Object.assign(state, { order, more });
    const active = new Set(order);
    if (!more) for (const id of state.jobs.keys()) if (!active.has(id)) state.jobs.delete(id);
  },
  job(data) {
    if (isFinal(data)) state.jobs.delete(data.id); else state.jobs.set(data.id, data);
  },
  image() {},
  image_removed() {},
};

export function take(name, data) {
  if (!(name in events)) return;
  events[name](data);
  tell(name, data);
}

// A new stream told the whole state; whatever happens from now on is told.
export const beginStream = () => tell("stream", null);

export function setProblem(problem) {
  if (state.problem === problem) return;
  state.problem = problem;
  tell("problem", problem);
}

function tell(name, data) {
  for (const listener of listeners) listener(name, data);
}
