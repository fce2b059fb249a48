// A small explorer of this installation's GraphQL: asks only this host, keeps nothing, sets text only as text.
"use strict";
const at = (id) => document.getElementById(id);
const make = (tag, props = {}, ...children) => {
  const node = Object.assign(document.createElement(tag), props);
  node.append(...children);
  return node;
};
at("query").value = `query AccountWithContext($id: ID!) {
  account(id: $id) {
    name
    domain
    pqaScore { score factors { name weight value } trend }
    contacts { name email identities { type value } lastActive }
    signals(last: 50) { source type actor { name } metadata timestamp }
  }
}`;
let socket = null;
const headers = () => ({ "Content-Type": "application/json", Authorization: `Bearer ${at("key").value.trim()}` });
const send = async (body) => {
  const answer = await fetch("/graphql", { method: "POST", headers: headers(), body: JSON.stringify(body) });
  return { status: answer.status, body: await answer.json() };
};
const stop = () => {
  if (socket) socket.close();
  socket = null;
  at("stop").hidden = true;
};
// https://github.com/graphql/graphql-over-http and the protocol graphql-transport-ws
const subscribe = (payload) => {
  stop();
  socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/graphql`, "graphql-transport-ws");
  const say = (message) => socket.send(JSON.stringify(message));
  at("stop").hidden = false;
  at("answer").textContent = "";
  socket.onopen = () => say({ type: "connection_init", payload: { authorization: `Bearer ${at("key").value.trim()}` } });
  socket.onmessage = (event) => {
    const message = JSON.parse(event.data);
    if (message.type === "connection_ack") say({ id: "1", type: "subscribe", payload });
    if (message.type === "ping") say({ type: "pong" });
    if (message.payload && message.id) at("answer").textContent = `${JSON.stringify(message.payload, null, 2)}\n${at("answer").textContent}`.slice(0, 200000);
  };
  socket.onclose = (event) => { at("state").textContent = `The subscription ended. ${event.reason}`; };
  at("state").textContent = "Subscribed; the newest is on top.";
};
const run = async () => {
  let variables;
  try {
    variables = JSON.parse(at("variables").value || "{}");
  } catch (problem) {
    at("state").textContent = `The variables are not JSON: ${problem.message}`;
    return;
  }
  const payload = { query: at("query").value, variables };
  if (/^\s*subscription\b/m.test(payload.query)) { subscribe(payload); return; }
  at("state").textContent = "Waiting …";
  const started = performance.now();
  try {
    const { status, body } = await send(payload);
    at("state").textContent = `${status} in ${Math.round(performance.now() - started)} ms`;
    at("answer").textContent = JSON.stringify(body, null, 2);
    if (status === 200 && !at("list").childElementCount) await types();
  } catch (problem) {
    at("state").textContent = `No answer: ${problem}`;
  }
};
const typeName = (type) => (type.kind === "NON_NULL" ? `${typeName(type.ofType)}!` : type.kind === "LIST" ? `[${typeName(type.ofType)}]` : type.name);
const types = async () => {
  const deep = "kind name ofType { kind name ofType { kind name ofType { kind name } } }";
  const { body } = await send({ query: `{ __schema { types { kind name description fields { name description type { ${deep} } args { name type { ${deep} } } } inputFields { name description type { ${deep} } } enumValues { name description } } } }` });
  if (!body.data) return;
  for (const type of body.data.__schema.types.filter((one) => !one.name.startsWith("__")).sort((a, b) => a.name.localeCompare(b.name))) {
    const parts = (type.fields || type.inputFields || type.enumValues || []).map((field) => {
      const args = field.args && field.args.length ? `(${field.args.map((arg) => `${arg.name}: ${typeName(arg.type)}`).join(", ")})` : "";
      return make("li", {}, make("code", { textContent: `${field.name}${args}${field.type ? `: ${typeName(field.type)}` : ""}` }), ` ${field.description || ""}`);
    });
    at("list").append(make("a", { href: `#${type.name}`, textContent: type.name }));
    at("types").append(make("section", { id: type.name }, make("h3", { textContent: type.name }), make("p", { textContent: type.description || "" }), make("ul", {}, ...parts)));
  }
};
at("run").addEventListener("click", run);
at("stop").addEventListener("click", stop);
document.addEventListener("keydown", (event) => { if (event.ctrlKey && event.key === "Enter") run(); });
