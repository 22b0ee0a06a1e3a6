// Draws /api/openapi.json as a page. Texts are set as text, never as HTML.

// This file lies at static/docs.js below wherever the server is, which may be a path such as /ai/ behind a proxy.
const ROOT = new URL("..", import.meta.url);

const make = (tag, options = {}, ...children) => {
  const node = Object.assign(document.createElement(tag), options);
  node.append(...children);
  return node;
};

const resolve = (document_, schema) => {
  const name = schema?.$ref?.split("/").pop();
  return name ? document_.components.schemas[name] : schema;
};

const kind = (document_, schema) => {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.anyOf) return schema.anyOf.map((option) => kind(document_, option)).join(" or ");
  if (schema.type === "array") return `list of ${kind(document_, schema.items)}`;
  const bounds = [];
  if (schema.minimum !== undefined) bounds.push(`from ${schema.minimum}`);
  if (schema.maximum !== undefined) bounds.push(`to ${Number.isSafeInteger(schema.maximum) ? schema.maximum : "2^63 - 1"}`);
  if (schema.maxLength !== undefined) bounds.push(`up to ${schema.maxLength} characters`);
  return [schema.type ?? "anything", ...bounds].join(" ");
};

const about = (schema) =>
  schema.description ?? schema.anyOf?.map((option) => option.description).filter(Boolean).join(" ") ?? "";

const table = (rows) =>
  make("table", {}, make("tbody", {}, ...rows.map(([name, type, text]) =>
    make("tr", {}, make("td", {}, make("code", { textContent: name })), make("td", { textContent: type }),
      make("td", { className: "about", textContent: text })))));

const fields = (document_, schema) => {
  const found = resolve(document_, schema);
  const required = new Set(found?.required ?? []);
  return Object.entries(found?.properties ?? {}).map(([name, value]) =>
    [required.has(name) ? `${name} *` : name, kind(document_, value), about(value)]);
};

// What is sent to these addresses, for those who try them first; elsewhere the fields below say what is taken.
const EXAMPLES = {
  "/api/generate": { model_id: "demo", prompt: "a red house on a hill", settings: { num_images: 1 } },
  "/api/enrich": { prompt: "a castle on a hill", style: "fantasy" },
  "/v1/images/generations": { model: "demo", prompt: "a red house on a hill" },
  "/sdapi/v1/txt2img": { prompt: "a red house on a hill", steps: 20 },
};

const sample = (document_, schema) => {
  const found = resolve(document_, schema);
  return Object.fromEntries((found?.required ?? []).map((name) => {
    const { type, items, minimum } = resolve(document_, found.properties[name]) ?? {};
    return [name, type === "array" ? [items?.type === "string" ? "..." : {}] : type === "integer" ? minimum ?? 1 : "..."];
  }));
};

const curl = (document_, path, method, operation) => {
  const address = `${ROOT}${path.slice(1)}`;
  const verb = method === "get" ? "" : `-X ${method.toUpperCase()} `;
  const content = operation.requestBody?.content;
  if (!content) return `curl ${verb}${address}`;
  if (content["application/json"]) {
    const body = EXAMPLES[path] ?? sample(document_, content["application/json"].schema);
    return `curl ${verb}${address} \\\n  -H 'Content-Type: application/json' \\\n  -d '${JSON.stringify(body)}'`;
  }
  if (content["multipart/form-data"] && !content["image/png"]) {
    return `curl ${verb}${address} \\\n  -F image=@picture.png -F prompt='a red house on a hill'`;
  }
  return `curl ${verb}${address} \\\n  -H 'Content-Type: image/png' \\\n  --data-binary @picture.png`;
};

const section = (title, ...content) => [make("h3", { textContent: title }), ...content];

const body = (document_, path, method, operation) => {
  const inside = make("div", { className: "inside" });
  inside.append(make("p", { className: "about", textContent: operation.description }));
  inside.append(make("pre", { textContent: curl(document_, path, method, operation), tabIndex: 0 }));
  if (operation.parameters.length) {
    inside.append(...section("Parameters", table(operation.parameters.map((item) =>
      [item.name, `${item.in}: ${kind(document_, item.schema)}`, item.description ?? ""]))));
  }
  const sent = Object.values(operation.requestBody?.content ?? {}).find((content) => content.schema)?.schema;
  if (sent) {
    inside.append(...section("Body", table(fields(document_, sent))));
    const settings = resolve(document_, sent)?.properties?.settings;
    const inner = settings?.$ref ? settings : settings?.anyOf?.find((option) => option.$ref) ?? settings?.allOf?.[0];
    if (inner) inside.append(...section("settings", table(fields(document_, inner))));
  }
  inside.append(...section("Answers", table(Object.entries(operation.responses).map(([status, answer]) => {
    const [media, content] = Object.entries(answer.content ?? {})[0] ?? ["", {}];
    return [status, content.schema ? kind(document_, content.schema) : media, answer.description];
  }))));
  const answer = operation.responses["200"]?.content?.["application/json"]?.schema;
  if (answer) inside.append(...section("Fields of the answer", table(fields(document_, answer))));
  return inside;
};

const draw = (document_) => {
  const target = document.getElementById("operations");
  target.replaceChildren();
  for (const [path, methods] of Object.entries(document_.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      target.append(make("details", { id: operation.operationId },
        make("summary", {}, make("span", { className: "method", textContent: method }),
          make("code", { textContent: path }), make("span", { className: "about", textContent: ` ${operation.summary}` })),
        body(document_, path, method, operation)));
    }
  }
  document.querySelector(`details[id="${CSS.escape(location.hash.slice(1))}"]`)?.setAttribute("open", "");
};

try {
  const answer = await fetch(new URL("api/openapi.json", ROOT));
  if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
  draw(await answer.json());
} catch (error) {
  document.getElementById("operations").textContent = `The description could not be loaded: ${error.message}`;
}
