"use strict";
// One call as a timeline, and the calls of the last hour whose caller heard nobody for a while. Text is set as text.

const HOUR_MS = 3600 * 1000;
const LEAST_SILENCE_S = 3;
const PAST_SHOWN = 50;
const BAD_FACTS = new Set(["waiting", "recovered", "lost", "expired", "silence", "apology", "provider_failure", "fallback"]);
const FACT_WORDS = { caller: "caller joined", no_caller: "caller left", left: "agent left", lost: "agent lost" };

function clockTime(call, atS) {
  return call.started_at ? new Date(Date.parse(call.started_at) + 1000 * atS).toISOString().slice(11, 21) : "";
}

function drawCall(call) {
  const state = call.reason ? `${call.state} (${call.reason})` : call.state;
  const waited = call.waited_s === null ? "no agent" : `first agent after ${call.waited_s.toFixed(1)} s`;
  $("story-head").textContent = call.started_at
    ? `${call.room} in ${call.region}: ${state}. Started ${call.started_at}, ${call.duration_s.toFixed(1)} s, ${waited}, ` +
      `${call.turns.length} turns. Call ${call.call}, trace ${call.trace_id || "not known"}.`
    : `${call.room} in ${call.region}: ${state}.`;
  fill("silences", call.dead_air.map((silence) => [
    [clockTime(call, silence.from_s)],
    [`${silence.lasted_s.toFixed(1)} s${silence.until_s === null ? " so far" : ""}`, "n bad"],
    [silence.why], [silence.hint],
  ]), "none of 3 s or more");
  fill("timeline", call.timeline.map((entry) => [
    [clockTime(call, entry.at_s)], [`+${entry.at_s.toFixed(1)} s`, "n"],
    [FACT_WORDS[entry.what] || entry.what.replaceAll("_", " "), BAD_FACTS.has(entry.what) ? "bad" : ""], [entry.detail],
  ]), "nothing is noted");
}

async function showCall(name, region) {
  const query = region ? `?region=${encodeURIComponent(region)}` : "";
  $("story").hidden = true;
  try {
    const call = await get(`v1/calls/${encodeURIComponent(name)}${query}`);
    if (call === null) throw new Error("not known now, try again");
    drawCall(call);
    $("story").hidden = false;
    $("story-said").textContent = "";
  } catch (error) {
    $("story-said").textContent = error.message.endsWith(": 404") ? "no such call, or it is forgotten" : error.message;
  }
}

async function showSilent() {
  const from = new Date(Date.now() - HOUR_MS).toISOString();
  try {
    let page = await get(`v1/past-calls?from=${from}&dead_air_s=${LEAST_SILENCE_S}&limit=1000`);
    let found = page === null ? null : page.calls;
    while (page !== null && page.next !== null && found.length < PAST_SHOWN) {
      page = await get(`v1/past-calls?from=${from}&dead_air_s=${LEAST_SILENCE_S}&limit=1000&cursor=${page.next}`);
      found = page === null ? null : found.concat(page.calls);
    }
    fill("past", (found || []).slice(0, PAST_SHOWN).map((call) => [
      [call.started_at.slice(11, 19)], [call.room, "room"], [call.region], [`${call.duration_s.toFixed(0)} s`, "n"],
      [`${call.dead_air_s.toFixed(1)} s`, "n bad"], [call.why],
    ]), found === null ? "not known now" : "no such call");
  } catch (error) {
    $("story-said").textContent = error.message;
  }
}

function followRooms(table, roomCell, regionCell) {
  $(table).addEventListener("click", (event) => {
    const row = event.target.closest("tbody tr");
    if (row && !row.classList.contains("none")) {
      showCall(row.cells[roomCell].textContent, row.cells[regionCell].textContent);
      $("find-call").scrollIntoView({ block: "nearest" });
    }
  });
}

$("find-call").addEventListener("submit", (event) => {
  event.preventDefault();
  showCall($("call-name").value.trim(), "");
});
$("silent-calls").addEventListener("click", showSilent);
followRooms("calls", 0, 1);
followRooms("past", 1, 2);
