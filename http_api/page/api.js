// The HTTP API, used as any client would use it.
import { send } from "./key.js";

// This file lies at static/api.js below wherever the server is, which may be a path such as /ai/ behind a proxy.
const ROOT = new URL("..", import.meta.url);
export const address = (path) => new URL(path, ROOT).href;

export class ApiError extends Error {
  constructor(message, status, body = {}) {
    super(message);
    this.status = status;
    this.field = body.field || "";
    this.retryAfter = body.retry_after;
  }
}

// A seed may have more digits than a JavaScript number holds, so long ones are read and sent as digits.
// Within a JSON text quotes are escaped: only a key can look like this, never somebody's prompt.
export function read(text) {
  try {
    return JSON.parse(text.replace(/"seed":\s*(\d{16,})/g, '"seed":"$1"'));
  } catch {
    return {};
  }
}
const written = (body) => JSON.stringify(body).replace(/"seed":"(-?\d+)"/, '"seed":$1');

async function sent(path, options) {
  let answer;
  try {
    answer = await send(address(`api${path}`), options);
  } catch {
    throw new ApiError("The server cannot be reached.", 0);
  }
  if (answer.ok) return answer;
  const body = read(await answer.text().catch(() => ""));
  throw new ApiError(body.message || `The server answered ${answer.status}.`, answer.status, body);
}

async function call(path, options = {}) {
  const answer = await sent(path, options);
  return read(await answer.text().catch(() => ""));
}

const withBody = (method, body, options = {}) => ({
  method,
  ...options,
  headers: { ...options.headers, ...(body !== undefined && { "Content-Type": "application/json" }) },
  body: body === undefined ? undefined : written(body),
});
const post = (path, body, options) => call(path, withBody("POST", body, options));
const keyed = (press) => ({ headers: { "Idempotency-Key": press } });
const part = encodeURIComponent;

export const models = () => call("/models");
export const me = () => call("/me");
export const generate = (request, press) => post("/generate", request, keyed(press));
export const status = (id) => call(`/status/${part(id)}`);
export const enrich = (prompt, style) => post("/enrich", { prompt, style });
export const cancel = (id) => post(`/jobs/${part(id)}/cancel`);
export const cancelAll = () => post("/jobs/cancel", { status: "pending" });
export const retry = (id, press) => post(`/jobs/${part(id)}/retry`, undefined, keyed(press));
export const move = (id, where) => post(`/jobs/${part(id)}/move`, where);
export const pause = (isToPause) => post(`/queue/${isToPause ? "pause" : "resume"}`);
export const endedJobs = () => call("/jobs?status=failed&limit=50");

export const metadata = (id) => call(`/image/${part(id)}/metadata`);
export const labels = () => call("/labels");
export const setFavourite = (id, isOne) => call(`/image/${part(id)}/favourite`, { method: isOne ? "PUT" : "DELETE" });
export const setLabels = (id, names) => call(`/image/${part(id)}/labels`, withBody("PUT", { labels: names }));
// Sent even while the page is being left.
export const removeImages = (ids) => post("/images/delete", { ids }, { keepalive: true });
export const zipOf = async (ids) => (await sent("/images/download", withBody("POST", { ids }))).blob();

export const imageAddress = (id) => address(`api/get_image/${part(id)}`);
export const thumbnailAddress = (id) => address(`api/image/${part(id)}/thumbnail`);
// The server knows the path before /api only where the proxy tells it.
export const previewAddress = (url) => address(url.slice(url.lastIndexOf("/api/") + 1));

const PAGE = 50; // pictures
export function gallery(filters, cursor) {
  const query = new URLSearchParams({ limit: PAGE, ...filters });
  if (cursor) query.set("cursor", cursor);
  return call(`/gallery?${query}`);
}
