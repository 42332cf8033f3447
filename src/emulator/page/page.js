// Shows the server's state, again and again. What the server says is only ever text.
"use strict";

const PERIOD = 500;
const at = (id) => document.getElementById(id);
let lengths = new Map();

function element(name, text, kind) {
  const made = document.createElement(name);
  if (text !== undefined && text !== null) made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

function row(cells) {
  const made = element("tr");
  made.append(...cells);
  return made;
}

function bucketTable(bucket, seen) {
  const table = element("table");
  const head = ["Key", "Bytes", "Type", "Modified"].map((text, n) => element("th", text, n === 1 ? "number" : ""));
  const rows = bucket.objects.map((object) => {
    const name = `${bucket.name}/${object.key}`;
    const grown = lengths.has(name) && lengths.get(name) !== object.length;
    seen.set(name, object.length);
    const made = row([
      element("td", object.key),
      element("td", object.length.toLocaleString("en"), "number"),
      element("td", object.sealed ? `${object.kind}, sealed` : object.kind),
      element("td", object.modified),
    ]);
    if (grown) made.className = "grown";
    return made;
  });
  const thead = element("thead");
  thead.append(row(head));
  const tbody = element("tbody");
  tbody.append(...rows);
  table.append(thead, tbody);
  return table;
}

function showBuckets(buckets) {
  const seen = new Map();
  const parts = buckets.flatMap((bucket) => {
    const title = element("h3", `${bucket.name} (${bucket.acl})`);
    if (bucket.objects.length === 0) return [title, element("p", "No objects.", "empty")];
    const more = bucket.more ? [element("p", "There are more behind these.", "empty")] : [];
    return [title, bucketTable(bucket, seen), ...more];
  });
  at("buckets").replaceChildren(...(parts.length ? parts : [element("p", "None.", "empty")]));
  lengths = seen;
}

function showRequests(requests) {
  const rows = requests.reverse().map((request) => {
    const place = [request.bucket, request.key].filter((part) => part !== null).join("/");
    const outcome = [request.status ?? "no answer", request.code, request.fault && `by fault ${request.fault}`];
    const failed = request.fault !== null || (request.status ?? 500) >= 400;
    return row([
      element("td", request.operation),
      element("td", place),
      element("td", request.position, "number"),
      element("td", request.body_length, "number"),
      element("td", outcome.filter(Boolean).join(" "), failed ? "failed" : ""),
    ]);
  });
  at("requests").replaceChildren(...rows);
}

function showFaults(faults) {
  const items = faults.map((fault, n) => {
    const box = element("input");
    box.type = "checkbox";
    box.checked = fault.on;
    box.addEventListener("change", () => change({ switch: { fault: n, on: box.checked } }));
    const label = element("label");
    label.append(box, ` ${fault.rule}: has struck ${fault.struck} times${fault.used_up ? ", used up" : ""}`);
    const item = element("li");
    item.append(label);
    return item;
  });
  at("faults").replaceChildren(...(items.length ? items : [element("li", "None.", "empty")]));
}

async function change(wanted) {
  const headers = { "content-type": "application/json" };
  const answer = await fetch("/_emulator/faults", { method: "POST", headers, body: JSON.stringify(wanted) });
  at("problem").textContent = answer.ok ? "" : await answer.text();
  await refresh();
  return answer.ok;
}

async function refresh() {
  try {
    const answer = await fetch("/_emulator/state");
    const state = await answer.json();
    at("region").textContent = state.region;
    showBuckets(state.buckets);
    showFaults(state.faults);
    showRequests(state.requests);
    at("connection").textContent = "";
  } catch {
    at("connection").textContent = "The server does not answer.";
  }
}

async function run() {
  await refresh();
  setTimeout(run, PERIOD);
}

at("add").addEventListener("submit", async (event) => {
  event.preventDefault();
  if (await change({ add: at("spec").value })) at("spec").value = "";
});
run();
