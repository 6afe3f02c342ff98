"use strict";
// Reads /v1 every two seconds and draws it. Text is set as text, never as HTML: rooms and reasons come from elsewhere.

const $ = (id) => document.getElementById(id);
const EVERY_MS = 2000;
let token = sessionStorage.getItem("voicefleet-key") || "";

class Refused extends Error {}

async function get(path) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const answer = await fetch(path, { headers, cache: "no-store" });
  if (answer.status === 401) throw new Refused("this key is not valid (401)");
  if (answer.status === 403) throw new Refused("this key lacks the role read");
  if (answer.status === 503) return null; // not known now
  if (answer.status === 429) {
    const said = (await answer.json()).error;
    if (said.includes("attempts")) throw new Refused(said); // of keys that are none
    throw new Error("too many look with this key, it is shown again soon");
  }
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}

const shown = (value, unit = "") => (value === null || value === undefined ? "–" : `${value}${unit}`);
const seconds = (value) => (value === null || value === undefined ? "–" : `${value.toFixed(2)} s`);
const total = (rows, name) => (rows.some((row) => row[name] === null) ? null : rows.reduce((n, row) => n + row[name], 0));

function element(name, text, kind) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

function fill(id, rows, none) {
  const body = $(id).tBodies[0];
  body.replaceChildren(
    ...rows.map((cells) => {
      const row = element("tr");
      row.append(...cells.map(([text, kind]) => element("td", text, kind)));
      return row;
    }),
  );
  if (!rows.length) {
    const row = element("tr", undefined, "none");
    const cell = element("td", none);
    cell.colSpan = $(id).tHead.rows[0].cells.length;
    row.append(cell);
    body.append(row);
  }
}

function tile(value, label, bad) {
  const made = element("div", undefined, bad ? "tile bad" : "tile");
  made.append(element("b", shown(value)), element("span", label));
  return made;
}

const SVG = "http://www.w3.org/2000/svg";

function chart(title, points, lines, unit) {
  const figure = element("figure");
  const caption = element("figcaption", title);
  caption.append(...lines.map(([, label], i) => element("i", label, ["one", "two"][i])));
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 100 100");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", title);
  const values = points.flatMap((p) => lines.map(([name]) => p[name])).filter((v) => v !== null);
  const top = Math.max(...values, unit === " s" ? 0.5 : 1) * 1.1;
  for (const y of [25, 50, 75, 99.5]) {
    const line = document.createElementNS(SVG, "line");
    for (const [k, v] of Object.entries({ x1: 0, x2: 100, y1: y, y2: y })) line.setAttribute(k, v);
    svg.append(line);
  }
  lines.forEach(([name], i) => {
    // What is not known is a gap, not a zero.
    let pen = "M";
    let path = "";
    points.forEach((p, n) => {
      if (p[name] === null) { pen = "M"; return; }
      path += `${pen}${(100 * n / Math.max(1, points.length - 1)).toFixed(2)} ${(99.5 - 99 * p[name] / top).toFixed(2)}`;
      pen = "L";
    });
    const drawn = document.createElementNS(SVG, "path");
    drawn.setAttribute("d", path);
    drawn.setAttribute("class", ["one", "two"][i]);
    svg.append(drawn);
  });
  const axis = element("div", undefined, "axis");
  const first = points.length ? new Date(points[0].at).toLocaleTimeString() : "";
  axis.append(element("span", first), element("span", `0 to ${top.toFixed(unit === " s" ? 2 : 0)}${unit}`), element("span", "now"));
  figure.append(caption, svg, axis);
  return figure;
}

function drawFindings(regions) {
  const found = regions.flatMap((r) => r.findings.map((f) => [r.region, f]));
  $("wrong").hidden = !found.length;
  $("findings").replaceChildren(...found.map(([region, f]) => {
    const line = element("li", undefined, f.state);
    line.append(element("b", `${region} is ${f.state}: ${f.cause}`), element("span", f.hint));
    return line;
  }));
}

function drawCanaries(canaries) {
  $("tried").hidden = !canaries.length;
  fill("canaries", canaries.map((c) => [
    [c.region], [c.agent], [c.kind === "tier" ? `tier ${c.version}` : c.version], [`${c.weight} %`, "n"],
    [c.state.replace("_", " "), { rolled_back: "bad", promoted: "good" }[c.state] || ""],
    [c.calls === null ? "–" : c.min_calls ? `${c.calls} of ${c.min_calls}` : c.calls, "n"], [c.reason],
  ]), "none");
}

function draw(regions, calls, decisions, history, incidents) {
  drawFindings(regions);
  const waiting = total(regions, "waiting");
  const silent = total(regions, "silent");
  $("tiles").replaceChildren(
    tile(total(regions, "live"), "live calls"),
    tile(waiting, "callers waiting", waiting > 0),
    tile(silent, "callers in silence", silent > 0),
    tile(total(regions, "refused"), "callers refused in 5 min", total(regions, "refused") > 0),
    tile(total(regions, "ready"), "ready workers", total(regions, "ready") === 0),
    tile(total(regions, "slots"), "slots"),
    ...costs(regions).map(([currency, sum]) => tile(sum.toFixed(2), `${currency} an hour`)),
  );
  const last = (region) => (history[region] || []).at(-1) || {};
  fill("regions", regions.map((r) => [
    [r.weight === null || r.weight === 100 ? r.region : `${r.region} (${r.weight} % of new calls)`], [shown(r.desired_workers), "n"], [shown(r.ready), "n"], [shown(r.starting), "n"],
    [shown(r.draining), "n"], [slots(r.live, r.slots)], [shown(r.live), "n"],
    [shown(r.waiting), r.waiting ? "n bad" : "n"], [shown(r.silent), r.silent ? "n bad" : "n"],
    [shown(r.refused), r.refused ? "n bad" : "n"],
    [seconds(last(r.region).ttfa_p50_s), "n"], [seconds(last(r.region).ttfa_p95_s), "n"],
    [r.status, r.status === "ok" ? "good" : r.status],
  ]), "no region");
  fill("workers", regions.flatMap((r) => [...r.workers.map((w) => [
    [r.region], [w.id], [w.state, w.state === "ready" ? "good" : ""], [slots(w.calls ?? w.live, w.slots)],
    [w.age_s === null ? "–" : `${Math.round(w.age_s)} s`, "n"],
  ]), ...(r.more_workers ? [[[r.region], [`and ${r.more_workers} more`], [""], [""], [""]]] : [])]), "no worker");
  fill("calls", (calls || []).slice(0, 100).map((c) => [
    [c.room], [c.region], [c.reason ? `${c.state}: ${c.reason}` : c.state, c.state === "waiting" ? "bad" : ""], [`${Math.round(c.waiting_s ?? c.since_s)} s`, "n"], [c.worker],
  ]), calls === null ? "not known now" : "no call");
  fill("incidents", incidents.map((i) => [
    [new Date(i.at).toLocaleString()], [i.region], [i.text, i.state === "ok" ? "" : i.state],
  ]), "none");
  fill("decisions", decisions.map((d) => [
    [new Date(d.at).toLocaleTimeString()], [d.region], [shown(d.desired), "n"], [d.reason], [d.detail],
  ]), "none yet");
  $("charts").replaceChildren(...Object.entries(history).flatMap(([region, points]) => [
    chart(`${region}: TTFA of the last minute`, points, [["ttfa_p50_s", "p50"], ["ttfa_p95_s", "p95"]], " s"),
    chart(`${region}: workers`, points, [["ready", "ready"], ["desired", "wanted"]], ""),
    chart(`${region}: calls`, points, [["live", "live"], ["waiting", "waiting"]], ""),
  ]));
}

function costs(regions) {
  const sums = new Map();
  for (const r of regions) {
    if (r.cost_per_hour !== null) sums.set(r.currency, (sums.get(r.currency) || 0) + r.cost_per_hour);
  }
  return [...sums];
}

function slots(live, all) {
  if (live === null || all === null) return "–";
  const used = Math.min(live, all);
  return all <= 24 ? `${"■".repeat(used)}${"□".repeat(all - used)} ${live}/${all}` : `${live}/${all}`;
}

function say(text, bad) {
  $("state").textContent = text;
  $("state").className = bad ? "bad" : "";
}

async function publicState() {
  try {
    const answer = await fetch("healthz", { cache: "no-store" });
    return `the fleet is ${(await answer.json()).status}; `;
  } catch {
    return "";
  }
}

async function look() {
  try {
    const [regions, calls, decisions, history, incidents, canaries] = await Promise.all(
      ["regions", "calls", "decisions?limit=20", "history", "incidents?limit=20", "canaries"].map((path) => get(`v1/${path}`)),
    );
    $("login").hidden = true;
    $("fleet").hidden = false;
    draw(regions.regions, calls && calls.calls, decisions.decisions, history.regions, incidents.incidents);
    drawCanaries(canaries.canaries);
    const unwell = regions.regions.filter((r) => r.status !== "ok").map((r) => `${r.region} is ${r.status}`);
    const at = `as of ${new Date().toLocaleTimeString()}`;
    say(unwell.length ? `${unwell.join(", ")}, ${at}` : at, unwell.length > 0);
  } catch (error) {
    if (error instanceof Refused) {
      $("fleet").hidden = true;
      $("login").hidden = false;
      const state = await publicState();
      say(`${state}${token ? error.message : "an API key shows more"}`, Boolean(token) || !state.includes(" ok"));
      return; // asking again without a key only fills the log
    }
    say(error.message.startsWith("too many") ? error.message : "the controller does not answer", true);
  }
  setTimeout(look, EVERY_MS);
}

$("login").addEventListener("submit", (event) => {
  event.preventDefault();
  token = $("token").value;
  sessionStorage.setItem("voicefleet-key", token);
  $("token").value = "";
  look();
});

look();
