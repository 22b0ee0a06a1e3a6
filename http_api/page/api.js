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

async function call(path, options = {}) {
  let answer;
  try {
    answer = await send(address(`api${path}`), options);
  } catch {
    throw new ApiError("The server cannot be reached.", 0);
  }
  const body = read(await answer.text().catch(() => ""));
  if (!answer.ok) throw new ApiError(body.message || `The server answered ${answer.status}.`, answer.status, body);
  return body;
}

const post = (path, body) => call(path, {
  method: "POST",
  headers: body === undefined ? {} : { "Content-Type": "application/json" },
  body: body === undefined ? undefined : written(body),
});
const part = encodeURIComponent;

export const models = () => call("/models");
export const generate = (request) => post("/generate", request);
export const status = (id) => call(`/status/${part(id)}`);
export const enrich = (prompt, style) => post("/enrich", { prompt, style });
export const queue = () => call("/queue");
export const health = async () => (await fetch(address("health/ready"))).json();
export const metadata = (id) => call(`/image/${part(id)}/metadata`);
export const removeImage = (id) => call(`/image/${part(id)}`, { method: "DELETE" });
export const cancel = (id) => post(`/jobs/${part(id)}/cancel`);
export const retry = (id) => post(`/jobs/${part(id)}/retry`);
export const activeJobs = (state) => call(`/jobs?status=${state}&limit=100`);
export const eventsAddress = (id) => address(`api/jobs/${part(id)}/events`);
export const imageAddress = (id) => address(`api/get_image/${part(id)}`);
export const thumbnailAddress = (id) => address(`api/image/${part(id)}/thumbnail`);
// The server knows the path before /api only where the proxy tells it.
export const previewAddress = (url) => address(url.slice(url.lastIndexOf("/api/") + 1));

export const PAGE = 24; // pictures
export function gallery({ page, search, model }) {
  const query = new URLSearchParams({ page, limit: PAGE });
  if (search) query.set("search", search);
  if (model) query.set("model", model);
  return call(`/gallery?${query}`);
}
