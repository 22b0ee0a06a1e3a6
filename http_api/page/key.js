// The API key, where the server asks for one: kept for this tab, or in this browser if its owner wants that.
// Every request to the API is sent from here.
import { byId, makeCloseable, memory, show, tabMemory } from "./dom.js";

const STORED = "cyberimage.key";
let key = tabMemory.read(STORED) || memory.read(STORED) || "";
let question = null; // one at a time, however many requests were refused
let answerQuestion = () => {};
let isDeclined = false;

export const hasKey = () => key !== "";

const listeners = [];
export const whenKeyChanges = (listener) => listeners.push(listener);

// Whether this key may "submit" or "admin"; what it may not do is hidden (`data-needs` in the page, base.css).
export const may = (scope) => document.documentElement.dataset.may.split(" ").includes(scope);

export function allow(scopes) {
  document.documentElement.dataset.may = scopes.join(" ");
  memory.write("cyberimage.may", scopes.join(" "));
}

export function startKey() {
  makeCloseable(byId("key-dialog"), () => answerQuestion(false));
  byId("key-open").addEventListener("click", () => ask(""));
  byId("key-forget").addEventListener("click", () => { use("", false); location.reload(); });
  byId("key-form").addEventListener("submit", (event) => { event.preventDefault(); take(); });
  byId("key-open").hidden = !hasKey();
}

function take() {
  const entered = byId("key-input").value.trim();
  if (!/^[\x21-\x7e]+$/.test(entered)) {
    show(byId("key-error"), "A key is one word of plain letters, digits and signs.");
    byId("key-input").focus();
    return;
  }
  use(entered, byId("key-keep").checked);
  answerQuestion(true);
  byId("key-dialog").close();
}

function use(entered, isToBeKept) {
  key = entered;
  tabMemory.write(STORED, isToBeKept ? "" : entered);
  memory.write(STORED, isToBeKept ? entered : "");
  for (const listener of listeners) listener();
}

// Whether there is a key now, after one (perhaps none) was refused.
function ask(refused) {
  if (question) return question;
  show(byId("key-error"), refused && "The server did not accept this key.");
  byId("key-open").hidden = false;
  byId("key-forget").hidden = !hasKey();
  byId("key-input").value = "";
  byId("key-keep").checked = Boolean(memory.read(STORED));
  question = new Promise((resolve) => {
    answerQuestion = (answer) => {
      answerQuestion = () => {};
      question = null;
      isDeclined = !answer;
      resolve(answer);
    };
    byId("key-dialog").showModal();
  });
  return question;
}

// A request with the key; asks for one where it is refused, unless somebody said "not now".
export async function send(address, options = {}) {
  for (;;) {
    const sent = key;
    const headers = { ...options.headers, ...(sent && { Authorization: `Bearer ${sent}` }) };
    const isKept = !sent || Boolean(memory.read(STORED)); // what a tab alone may see stays in no cache
    const answer = await fetch(address, { ...(!isKept && { cache: "no-store" }), ...options, headers });
    if (answer.status !== 401 || isDeclined) return answer;
    if (key === sent && !(await ask(sent))) return answer;
  }
}
