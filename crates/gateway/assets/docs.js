// Shows the OpenAPI document of this installation. No other host is asked, and text is only ever set as text.
"use strict";
const make = (tag, props = {}, ...children) => {
  const node = Object.assign(document.createElement(tag), props);
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
};
let api = null;
const follow = (value) => {
  if (!value || !value.$ref) return value;
  return value.$ref.slice(2).split("/").reduce((at, key) => at && at[key.replaceAll("~1", "/").replaceAll("~0", "~")], api);
};
const nameOf = (schema) => (schema && schema.$ref ? schema.$ref.split("/").pop() : "");
const typeOf = (schema) => {
  if (!schema) return "";
  if (schema.$ref) return nameOf(schema);
  const kinds = [schema.type || "any"].flat().filter((kind) => kind !== "null");
  const type = kinds.join(" or ");
  if (schema.anyOf) return typeOf(schema.anyOf[0]);
  if (kinds[0] === "array") return "list of " + typeOf(schema.items);
  const bounds = [
    schema.enum ? schema.enum.filter(Boolean).join(", ") : "",
    schema.format || "",
    schema.minLength !== undefined ? `${schema.minLength} to ${schema.maxLength} characters` : schema.maxLength ? `at most ${schema.maxLength} characters` : "",
    schema.minimum !== undefined && schema.maximum !== undefined ? `${schema.minimum} to ${schema.maximum}` : "",
  ].filter(Boolean);
  return bounds.length ? `${type}: ${bounds.join("; ")}` : type;
};
// Backquoted words of the contract's comments are code.
const prose = (text) => {
  const node = make("p");
  (text || "").split("`").forEach((part, n) => node.append(n % 2 ? make("code", { textContent: part }) : part));
  return node;
};
const fields = (schema, depth, seen) => {
  const plain = follow(schema && schema.anyOf ? schema.anyOf[0] : schema) || {};
  if ([plain.type].flat().includes("array") && plain.items) return fields(plain.items, depth, seen);
  const entries = Object.entries(plain.properties || {});
  if (!entries.length) return null;
  const rows = entries.map(([name, value]) => {
    const cell = make("td", {}, prose(value.description));
    const inner = value.items || value;
    const below = nameOf(inner);
    if (below && depth < 4 && !seen.includes(below)) {
      const table = fields(inner, depth + 1, [...seen, below]);
      if (table) cell.append(make("details", {}, make("summary", { textContent: `fields of ${below}` }), table));
    }
    const required = (plain.required || []).includes(name);
    return make("tr", {}, make("td", {}, make("code", { textContent: name }), required ? " (always)" : ""), make("td", { textContent: typeOf(value) }), cell);
  });
  const head = make("tr", {}, ...["Field", "Type", "Meaning"].map((text) => make("th", { scope: "col", textContent: text })));
  return make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows));
};
const sample = (schema, depth = 0) => {
  const plain = follow(schema && schema.anyOf ? schema.anyOf[0] : schema) || {};
  const example = (schema.examples || plain.examples || [])[0];
  if (example !== undefined) return example;
  if (plain.enum) return plain.enum[0];
  const kind = [plain.type].flat()[0];
  if (kind === "array") return depth < 3 ? [sample(plain.items, depth + 1)] : [];
  if (kind === "object" || plain.properties) {
    const wanted = Object.entries(plain.properties || {}).slice(0, 6);
    return depth < 3 ? Object.fromEntries(wanted.map(([name, value]) => [name, sample(value, depth + 1)])) : {};
  }
  return kind === "integer" || kind === "number" ? (plain.minimum ?? 1) : kind === "boolean" ? true : "text";
};
const curl = (method, path, operation) => {
  const lines = [`curl -s${method === "get" ? "" : ` -X ${method.toUpperCase()}`} "$BASE${path.replace(/{(\w+)}/g, "$$$1")}"`];
  if (!operation.security || operation.security.length) lines.push(`-H "Authorization: Bearer $KEY"`);
  const body = operation.requestBody && operation.requestBody.content["application/json"];
  if (body) lines.push(`-H 'Content-Type: application/json'`, `-d '${JSON.stringify(sample(body.schema))}'`);
  return make("pre", { tabIndex: 0, textContent: lines.join(" \\\n  ") });
};
const section = (method, path, operation) => {
  const id = operation.operationId;
  const node = make("section", { id });
  node.dataset.text = `${path} ${operation.summary || ""} ${operation.description || ""}`.toLowerCase();
  node.append(make("h3", {}, make("span", { className: "verb", textContent: method.toUpperCase() }), path), prose(operation.description || operation.summary));
  if (operation["x-grpc-method"]) node.append(make("p", { className: "quiet", textContent: `gRPC: ${operation["x-grpc-method"]}` }));
  node.append(curl(method, path, operation));
  const parameters = (operation.parameters || []).map(follow);
  if (parameters.length) {
    const rows = parameters.map((one) => make("tr", {}, make("td", {}, make("code", { textContent: one.name }), one.required ? " (required)" : ""), make("td", { textContent: one.in }), make("td", { textContent: typeOf(one.schema) }), make("td", {}, prose(one.description))));
    const head = make("tr", {}, ...["Name", "In", "Type", "Meaning"].map((text) => make("th", { scope: "col", textContent: text })));
    node.append(make("h4", { textContent: "Parameters" }), make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows)));
  }
  const body = operation.requestBody && operation.requestBody.content["application/json"];
  if (body) node.append(make("h4", { textContent: "Body" }), fields(body.schema, 0, []) || make("p", { textContent: typeOf(body.schema) }));
  node.append(make("h4", { textContent: "Answers" }));
  for (const [status, value] of Object.entries(operation.responses)) {
    const answer = follow(value);
    const content = Object.entries(answer.content || {})[0];
    const table = content && content[0] === "application/json" ? fields(content[1].schema, 0, [nameOf(content[1].schema)]) : null;
    const line = make("summary", {}, make("code", { textContent: status }), ` ${answer.description || ""}`.replaceAll("`", ""));
    node.append(table ? make("details", {}, line, table) : make("p", { className: "quiet" }, make("code", { textContent: status }), ` ${answer.description || ""}`.replaceAll("`", "")));
  }
  return node;
};
const show = () => {
  const main = document.getElementById("main");
  const list = document.getElementById("list");
  main.replaceChildren(make("h2", { textContent: `${api.info.title} ${api.info.version}` }), prose(api.info.description));
  const tags = new Map(api.tags.map((tag) => [tag.name, { about: tag.description, operations: [] }]));
  for (const [path, item] of Object.entries(api.paths)) {
    for (const [method, operation] of Object.entries(item)) {
      const tag = operation.tags[0];
      if (!tags.has(tag)) tags.set(tag, { about: "", operations: [] });
      tags.get(tag).operations.push([method, path, operation]);
    }
  }
  for (const [name, tag] of tags) {
    if (!tag.operations.length) continue;
    const links = tag.operations.map(([method, path, operation]) => make("li", {}, make("a", { href: `#${operation.operationId}`, textContent: `${method.toUpperCase()} ${path}` })));
    list.append(make("h2", { textContent: name }), make("ul", {}, ...links));
    main.append(make("h2", { textContent: name }), prose(tag.about), ...tag.operations.map((one) => section(...one)));
  }
  document.getElementById("find").addEventListener("input", (event) => {
    const wanted = event.target.value.trim().toLowerCase();
    for (const node of main.querySelectorAll("section")) {
      node.hidden = wanted !== "" && !node.dataset.text.includes(wanted);
      const link = list.querySelector(`a[href="#${CSS.escape(node.id)}"]`);
      if (link) link.parentElement.hidden = node.hidden;
    }
  });
  if (location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView();
};
fetch("/api/v1/openapi.json").then((answer) => (answer.ok ? answer.json() : Promise.reject(answer.status))).then((document) => { api = document; show(); }).catch((problem) => {
  document.getElementById("state").textContent = `The contract could not be loaded (${problem}).`;
});
