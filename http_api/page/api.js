// The HTTP API, used as any client would use it.
export class ApiError extends Error {
  constructor(message, status, body = {}) {
    super(message);
    this.status = status;
    this.field = body.field || "";
    this.retryAfter = body.retry_after;
  }
}

async function call(path, options = {}) {
  let answer;
  try {
    answer = await fetch(`/api${path}`, options);
  } catch {
    throw new ApiError("The server cannot be reached.", 0);
  }
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new ApiError(body.message || `The server answered ${answer.status}.`, answer.status, body);
  return body;
}

const post = (path, body) => call(path, {
  method: "POST",
  headers: body === undefined ? {} : { "Content-Type": "application/json" },
  body: body === undefined ? undefined : JSON.stringify(body),
});
const part = encodeURIComponent;

export const models = () => call("/models");
export const generate = (request) => post("/generate", request);
export const status = (id) => call(`/status/${part(id)}`);
export const enrich = (prompt, style) => post("/enrich", { prompt, style });
export const queue = () => call("/queue");
export const metadata = (id) => call(`/image/${part(id)}/metadata`);
export const removeImage = (id) => call(`/image/${part(id)}`, { method: "DELETE" });
export const cancel = (id) => post(`/jobs/${part(id)}/cancel`);
export const activeJobs = (state) => call(`/jobs?status=${state}&limit=20`);
export const imageAddress = (id) => `/api/get_image/${part(id)}`;
export const thumbnailAddress = (id) => `/api/image/${part(id)}/thumbnail`;

export function gallery({ page, search, model }) {
  const query = new URLSearchParams({ page, limit: 24 });
  if (search) query.set("search", search);
  if (model) query.set("model", model);
  return call(`/gallery?${query}`);
}
