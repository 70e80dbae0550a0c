// The console: a query, what to send with it, the answer as it came, and the schema beside it.

const $ = (id) => document.getElementById(id);
const KEPT = "graphql-console";
const FIRST = "# Ctrl-Enter runs. Read the schema, then press a field of it to ask for it.\n\n{\n  __typename\n}\n";
const SECRET_HEADER = /^\s*(x-hasura-admin-secret|x-hasura-access-key|authorization|cookie)\s*:/i;

/* What is kept between visits: never a secret, a token or a cookie. */

function keep() {
  const more = $("more").value.split("\n").filter((line) => !SECRET_HEADER.test(line)).join("\n");
  const kept = { query: $("query").value, variables: $("variables").value, role: $("role").value, more };
  try {
    localStorage.setItem(KEPT, JSON.stringify(kept));
  } catch {
    // A browser without storage forgets; nothing else depends on it.
  }
}

function recall() {
  let kept = {};
  try {
    kept = JSON.parse(localStorage.getItem(KEPT) || "{}");
  } catch {
    kept = {};
  }
  $("query").value = kept.query || FIRST;
  for (const id of ["variables", "role", "more"]) $(id).value = kept[id] || "";
}

/* Asking. */

function headers() {
  const found = {};
  for (const line of $("more").value.split("\n")) {
    const at = line.indexOf(":");
    if (at > 0) found[line.slice(0, at).trim().toLowerCase()] = line.slice(at + 1).trim();
  }
  if ($("secret").value) found["x-hasura-admin-secret"] = $("secret").value;
  if ($("token").value) found.authorization = `Bearer ${$("token").value}`;
  if ($("role").value.trim()) found["x-hasura-role"] = $("role").value.trim();
  return found;
}

function body() {
  const text = $("variables").value.trim();
  return { query: $("query").value, variables: text ? JSON.parse(text) : null };
}

async function send(request) {
  const sent = { "content-type": "application/json", ...headers() };
  const answer = await fetch("v1/graphql", { method: "POST", headers: sent, body: JSON.stringify(request) });
  return answer.text();
}

let socket = null;

async function run() {
  if (socket) return socket.close();
  keep();
  show("answer");
  let request;
  try {
    request = body();
  } catch (error) {
    return report(`The variables are not JSON: ${error.message}`, "", true);
  }
  if (/^\s*subscription\b/m.test(request.query)) return watch(request);
  const start = performance.now();
  report("Asking …", "");
  try {
    const text = await send(request);
    const bad = text.startsWith('{"errors"');
    report(`${bad ? "Refused" : "Answered"} in ${Math.round(performance.now() - start)} ms, ${size(text)}`, text, bad);
  } catch (error) {
    report(`No answer: ${error.message}`, "", true);
  }
}

function watch(request) {
  const url = new URL("v1/graphql", document.baseURI);
  url.protocol = url.protocol.replace("http", "ws");
  socket = new WebSocket(url, "graphql-transport-ws");
  let frames = 0;
  $("run").textContent = "Stop";
  report("Watching …", "");
  socket.onopen = () => socket.send(JSON.stringify({ type: "connection_init", payload: { headers: headers() } }));
  socket.onmessage = (event) => {
    const frame = JSON.parse(event.data);
    if (frame.type === "connection_ack") socket.send(JSON.stringify({ id: "1", type: "subscribe", payload: request }));
    if (frame.type === "ping") socket.send('{"type":"pong"}');
    if (frame.type === "next") report(`Watching: ${++frames} received`, exact(event.data, '"payload":'));
    if (frame.type === "error") report("Refused", exact(event.data, '"payload":'), true);
    if (frame.type === "complete" || frame.type === "error") socket.close();
  };
  socket.onclose = (event) => {
    socket = null;
    $("run").textContent = "Run";
    $("status").textContent += event.reason ? `, closed: ${event.reason}` : ", stopped";
  };
}

/* Cut a frame's payload out as text: parsing would round large numbers. */
function exact(text, mark) {
  const start = text.indexOf(mark) + mark.length;
  let depth = 0;
  for (const token of tokens(text.slice(start))) {
    if ("{[".includes(token.text)) depth += 1;
    if ("}]".includes(token.text)) depth -= 1;
    if (depth === 0 && "}]".includes(token.text)) return text.slice(start, start + token.end);
  }
  return text.slice(start);
}

/* Showing the answer, with every number as it came. */

function* tokens(text) {
  const pattern = /"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g;
  for (let found = pattern.exec(text); found; found = pattern.exec(text)) yield { text: found[0], end: pattern.lastIndex };
}

function pretty(text) {
  const all = [...tokens(text)].map((token) => token.text);
  const parts = document.createDocumentFragment();
  let depth = 0;
  const line = () => parts.append("\n" + "  ".repeat(depth));
  all.forEach((token, at) => {
    const next = all[at + 1];
    if (token === "{" || token === "[") {
      parts.append(token);
      if (next !== "}" && next !== "]") { depth += 1; line(); }
    } else if (token === "}" || token === "]") {
      if (all[at - 1] !== "{" && all[at - 1] !== "[") { depth -= 1; line(); }
      parts.append(token);
    } else if (token === ",") {
      parts.append(",");
      line();
    } else if (token === ":") {
      parts.append(": ");
    } else {
      const kind = token[0] !== '"' ? "number" : next === ":" ? "name" : "string";
      parts.append(element("span", { className: kind, textContent: token }));
    }
  });
  return parts;
}

const LARGEST_COLOURED = 300_000;
let answered = "";

function report(status, text, bad = false) {
  answered = text;
  $("status").textContent = status;
  $("status").classList.toggle("bad", bad);
  $("copy").hidden = !text;
  $("answer").replaceChildren(text.length > LARGEST_COLOURED ? text : pretty(text));
}

function size(text) {
  const bytes = new Blob([text]).size;
  return bytes < 1000 ? `${bytes} bytes` : `${(bytes / 1000).toFixed(1)} kB`;
}

/* The schema. */

const REF = "kind name ofType { kind name ofType { kind name ofType { kind name } } }";
const ASK = `{ __schema { queryType { name } mutationType { name } subscriptionType { name } types {
  kind name description fields { name description type { ${REF} } args { name description type { ${REF} } } }
  inputFields { name description type { ${REF} } } enumValues { name description } } } }`;
let types = new Map();
let roots = [];
let trail = [];

async function read() {
  $("browser").replaceChildren(element("p", { textContent: "Reading …" }));
  try {
    const answer = JSON.parse(await send({ query: ASK }));
    if (answer.errors) throw new Error(answer.errors[0].message);
    const schema = answer.data.__schema;
    types = new Map(schema.types.map((type) => [type.name, type]));
    roots = [schema.queryType, schema.mutationType, schema.subscriptionType].filter(Boolean).map((type) => type.name);
    trail = [];
    browse();
  } catch (error) {
    const text = `The schema cannot be read: ${error.message}. Give the admin secret, a token or a role under Headers.`;
    $("browser").replaceChildren(element("p", { className: "bad", textContent: text }));
  }
}

function element(name, properties, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

const named = (ref) => (ref.ofType ? named(ref.ofType) : ref);
const written = (ref) =>
  ref.kind === "NON_NULL" ? `${written(ref.ofType)}!` : ref.kind === "LIST" ? `[${written(ref.ofType)}]` : ref.name;

function browse() {
  const wanted = $("find").value.trim().toLowerCase();
  $("back").hidden = trail.length === 0 && !wanted;
  const parts = wanted ? found(wanted) : trail.length ? described(types.get(trail.at(-1))) : roots.flatMap((name) => described(types.get(name)));
  $("browser").replaceChildren(...parts);
  $("browser").scrollTop = 0;
}

const MOST_FOUND = 100;

function found(wanted) {
  const hits = [...types.values()].filter((type) => !type.name.startsWith("__") && !roots.includes(type.name) && type.name.toLowerCase().includes(wanted));
  const fields = roots.flatMap((root) => types.get(root).fields.filter((field) => field.name.toLowerCase().includes(wanted)).map((field) => [root, field]));
  const list = element("ul", {}, ...fields.slice(0, MOST_FOUND).map(([root, field]) => fieldLine(types.get(root), field)), ...hits.slice(0, MOST_FOUND).map((type) => element("li", {}, link(type))));
  return [element("p", { textContent: `${fields.length} fields and ${hits.length} types` }), list];
}

function link(ref) {
  const open = () => { trail.push(named(ref).name); $("find").value = ""; browse(); };
  return element("button", { textContent: ref.kind ? written(ref) : ref.name, onclick: open });
}

function fieldLine(type, field) {
  const isRoot = roots.includes(type.name);
  const label = isRoot
    ? element("button", { className: "field", textContent: field.name, title: field.description || "Ask for it", onclick: () => ask(type, field) })
    : element("span", { className: "name", textContent: field.name, title: field.description || "" });
  const line = element("li", {}, label);
  if (field.args?.length) line.append(" ", takes(field.args));
  line.append(": ", link(field.type));
  return line;
}

/* The arguments of a field: a few at once, more when asked. */
function takes(args) {
  const listed = element("span", { hidden: args.length > 2 });
  args.forEach((arg, at) => listed.append(at ? ", " : "(", `${arg.name}: `, link(arg.type)));
  listed.append(")");
  if (!listed.hidden) return listed;
  const more = element("button", { className: "more", textContent: "(…)", title: `${args.length} arguments` });
  more.onclick = () => { listed.hidden = false; more.remove(); };
  return element("span", {}, more, listed);
}

function described(type) {
  const parts = [element("h2", { textContent: type.name })];
  if (type.description) parts.push(element("p", { textContent: type.description }));
  const lines = [...(type.fields || []), ...(type.inputFields || [])].map((field) => fieldLine(type, field));
  for (const value of type.enumValues || []) lines.push(element("li", { textContent: value.name, title: value.description || "" }));
  if (lines.length) parts.push(element("ul", {}, ...lines));
  return parts;
}

/* Write a document that asks for a root field with its required arguments and its plain fields. */
function ask(root, field) {
  const kind = ["query", "mutation", "subscription"].find((word) => root.name.startsWith(word)) || "query";
  const needed = field.args.filter((arg) => arg.type.kind === "NON_NULL");
  const declared = needed.map((arg) => `$${arg.name}: ${written(arg.type)}`).join(", ");
  const passed = needed.map((arg) => `${arg.name}: $${arg.name}`);
  if (field.args.some((arg) => arg.name === "limit")) passed.push("limit: 10");
  const lines = [`${kind}${declared ? ` (${declared})` : ""} {`, `  ${field.name}${passed.length ? `(${passed.join(", ")})` : ""}${selection(named(field.type).name, 1)}`, "}", ""];
  $("query").value = lines.join("\n");
  const values = Object.fromEntries(needed.map((arg) => [arg.name, null]));
  $("variables").value = needed.length ? JSON.stringify(values, null, 2) : "";
  keep();
  show("query");
  part("variables");
  $("query").focus();
}

const DEEPEST = 3;

function selection(name, depth) {
  const fields = types.get(name)?.fields;
  if (!fields) return "";
  const indent = "  ".repeat(depth);
  const plain = fields.filter((field) => !types.get(named(field.type).name)?.fields && !field.args.some((arg) => arg.type.kind === "NON_NULL"));
  const lines = plain.map((field) => `${indent}  ${field.name}`);
  if (!lines.length && depth < DEEPEST) {
    for (const field of fields) lines.push(`${indent}  ${field.name}${selection(named(field.type).name, depth + 1)}`);
  }
  return lines.length ? ` {\n${lines.join("\n")}\n${indent}}` : " {\n" + `${indent}  __typename\n${indent}}`;
}

/* The page. */

function show(pane) {
  document.body.dataset.pane = pane;
  for (const button of document.querySelectorAll("[data-show]")) button.setAttribute("aria-current", String(button.dataset.show === pane));
}

function part(name) {
  for (const tab of document.querySelectorAll("[data-part]")) {
    tab.setAttribute("aria-selected", String(tab.dataset.part === name));
    $(tab.dataset.part).hidden = tab.dataset.part !== name;
  }
}

/* A new line starts below the last one, deeper after an opening brace. */
function newLine(event) {
  const { value, selectionStart: at, selectionEnd: end } = event.target;
  const before = value.slice(0, at);
  const indent = before.slice(before.lastIndexOf("\n") + 1).match(/^\s*/)[0] + (/[{([]\s*$/.test(before) ? "  " : "");
  if (!indent) return;
  event.preventDefault();
  event.target.setRangeText(`\n${indent}`, at, end, "end");
}

recall();
show("query");
part("variables");
for (const button of document.querySelectorAll("[data-show]")) button.onclick = () => show(button.dataset.show);
for (const tab of document.querySelectorAll("[data-part]")) tab.onclick = () => part(tab.dataset.part);
for (const id of ["query", "variables", "more", "role"]) $(id).addEventListener("input", keep);
$("run").onclick = run;
$("read").onclick = read;
$("find").oninput = browse;
$("back").onclick = () => { if ($("find").value) $("find").value = ""; else trail.pop(); browse(); };
$("copy").onclick = () => navigator.clipboard.writeText(answered);
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); run(); }
  else if (event.key === "Enter" && event.target.id === "query" && !event.isComposing) newLine(event);
});
read();
