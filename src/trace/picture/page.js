"use strict";
// What is drawn is in #data (picture/mod.rs); here is how. All times are nanoseconds from the run's start.
const page = JSON.parse(document.getElementById("data").textContent);
const SVG = "http://www.w3.org/2000/svg";
const GUTTER = 190, RIGHT = 12, AXIS = 26, LANE = 24, WIRE = 84;
// marks nearer than this many pixels are one
const NEAR = 7;
const TABLE_MAX = 300;
// from under a microsecond to everything
const SHORTEST = 200;

const whole = Math.max(1, ...page.runs.map((run) => run.end)) * 1.01;
let view = [0, whole];
let focused = null;

function node(name, attributes, parent, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  if (parent) parent.appendChild(made);
  return made;
}

function html(name, parent, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  parent.appendChild(made);
  return made;
}

const UNITS = [[1e9, "s"], [1e6, "ms"], [1e3, "µs"], [1, "ns"]];

// A time with as many digits as tell it apart from its neighbours `step` away.
function time(ns, step) {
  const [unit, name] = UNITS.find(([size]) => Math.max(Math.abs(ns), step) >= size) || UNITS[3];
  const digits = Math.max(0, Math.min(9, Math.ceil(Math.log10(unit / Math.max(step, 1)))));
  return (ns / unit).toFixed(digits) + " " + name;
}

function exact(ns) {
  return (ns / 1e9).toFixed(9) + " s";
}

// Marks by lane, in the order of their times, so that those in view are found at once.
for (const run of page.runs) {
  run.byLane = run.lanes.map(() => ({ marks: [], bars: [] }));
  for (const mark of run.marks) run.byLane[mark.lane].marks.push(mark);
  for (const bar of run.bars) run.byLane[bar.lane].bars.push(bar);
  for (const lane of run.byLane) {
    lane.marks.sort((a, b) => a.t - b.t);
    lane.bars.sort((a, b) => a.from - b.from);
    let reach = 0;
    lane.reach = lane.bars.map((bar) => (reach = Math.max(reach, bar.to)));
  }
}

// The first place in a sorted list whose value is at least this.
function place(list, value, of) {
  let low = 0, high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (of(list[middle]) < value) low = middle + 1; else high = middle;
  }
  return low;
}

const TONES = ["dim", "plain", "good", "bad"];
const worst = (marks) => TONES[Math.max(...marks.map((m) => TONES.indexOf(m.tone)))];

// The marks of a lane in view, those that lie in the same few pixels together. Looking at each of a
// hundred thousand for every picture would stutter: one steps from group to group.
function groups(marks, x) {
  const found = [];
  let at = place(marks, view[0], (m) => m.t);
  const near = (view[1] - view[0]) * NEAR / Math.max(1, x.width);
  while (at < marks.length && marks[at].t <= view[1]) {
    const end = place(marks, marks[at].t + near, (m) => m.t);
    found.push([at, marks.slice(at, Math.max(end, at + 1))]);
    at = Math.max(end, at + 1);
  }
  return found;
}

function say(text, more, at) {
  const told = document.getElementById("told");
  told.textContent = "";
  if (at !== undefined) html("b", told, exact(at) + "  ");
  html("span", told, text);
  if (more) html("div", told, more);
}

function label(lane, group) {
  if (group.length === 1) {
    const m = group[0];
    const way = m.up === undefined ? "" : m.up ? "pod to node: " : "node to pod: ";
    return { text: `${lane.name}: ${way}${m.text}`, more: m.more || "", at: m.t };
  }
  const kinds = new Map();
  for (const m of group) kinds.set(m.text, (kinds.get(m.text) || 0) + 1);
  const names = [...kinds].slice(0, 4).map(([text, n]) => (n > 1 ? `${n} x ${text}` : text));
  const rest = kinds.size > 4 ? `; and ${kinds.size - 4} kinds more` : "";
  const more = [...new Set(group.map((m) => m.more).filter(Boolean))].slice(0, 3).join("; ");
  return { text: `${lane.name}: ${group.length} events (Enter zooms): ${names.join("; ")}${rest}`, more, at: group[0].t };
}

function bind(made, told, group, key) {
  made.setAttribute("role", "button");
  made.setAttribute("tabindex", "-1");
  made.setAttribute("aria-label", `${exact(told.at)} ${told.text}${told.more ? ". " + told.more : ""}`);
  made.dataset.key = key;
  const tell = () => say(told.text, told.more, told.at);
  made.addEventListener("mouseenter", tell);
  made.addEventListener("focus", () => { focused = key; tell(); });
  const zoom = () => {
    if (group.length < 2) return;
    const from = group[0].t, to = group[group.length - 1].t;
    const pad = Math.max((to - from) * 0.15, SHORTEST);
    show(from - pad, to + pad);
  };
  made.addEventListener("dblclick", zoom);
  made.zoom = zoom;
}

function drawWire(g, lane, group, x, y, key) {
  const at = x(group[0].t), tone = worst(group);
  if (group.length > 1) {
    const box = node("rect", { class: `mark many ${tone}`, x: at - 3, y: y + 8, width: NEAR - 1, height: WIRE - 16 }, g);
    bind(box, label(lane, group), group, key);
    if (group.length > 9) return;
    node("text", { class: "count", x: at, y: y + WIRE / 2 + 3 }, g, group.length);
    return;
  }
  const up = group[0].up, from = up ? y + WIRE - 8 : y + 8;
  const lost = (group[0].more || "").startsWith("lost");
  const to = lost ? y + WIRE / 2 : up ? y + 8 : y + WIRE - 8;
  const tip = up ? 6 : -6;
  const end = lost ? `M${at - 4} ${to - 4}l8 8m0 -8l-8 8` : `M${at - 4} ${to + tip}L${at} ${to}L${at + 4} ${to + tip}`;
  const path = node("path", { class: `mark ${tone}`, fill: "none", style: "fill:none", d: `M${at} ${from}L${at} ${to}${end}` }, g);
  bind(path, label(lane, group), group, key);
}

function drawMark(g, lane, group, x, y, key) {
  const at = x(group[0].t), middle = y + LANE / 2, tone = worst(group);
  const many = group.length > 1;
  const made = many
    ? node("rect", { class: `mark many ${tone}`, x: at - 3, y: middle - 7, width: 14, height: 14, rx: 3 }, g)
    : node("circle", { class: `mark ${tone}`, cx: at, cy: middle, r: 4 }, g);
  bind(made, label(lane, group), group, key);
  if (many) {
    const count = group.length > 99 ? "99+" : group.length;
    node("text", { class: "count", x: at + 4, y: middle + 3.5 }, g, count).style.pointerEvents = "none";
  }
}

function drawBars(g, lane, bars, reach, x, y, height, key) {
  // bars that end before the view can only stand before the first whose reach is in it
  let at = place(reach, view[0], (r) => r), last = -Infinity, drawn = 0;
  for (; at < bars.length && bars[at].from <= view[1]; at++) {
    const bar = bars[at];
    if (bar.to < view[0]) continue;
    const left = Math.max(x(bar.from), GUTTER), right = Math.min(x(bar.to), x.right);
    // what would be hidden behind the one before is not drawn
    if (right - left < 1 && right <= last + 1) continue;
    last = Math.max(last, right);
    const made = node("rect", {
      class: `bar ${bar.tone}`, x: left, y: y + 4, width: Math.max(1, right - left), height: height - 8,
    }, g);
    const told = { text: `${lane.name}: ${bar.text}`, more: `for ${exact(bar.to - bar.from)}`, at: bar.from };
    bind(made, told, [{ t: bar.from }, { t: bar.to }], `${key}b${at}`);
    const fits = Math.floor((right - left - 8) / 6);
    if (fits > 6) {
      const text = bar.text.length > fits ? bar.text.slice(0, fits - 1) + "…" : bar.text;
      node("text", { class: "inside", x: left + 4, y: y + height / 2 + 4 }, g, text).style.pointerEvents = "none";
    }
    if (++drawn > 400) return;
  }
}

function axis(svg, x, height) {
  const span = view[1] - view[0];
  const rough = span / Math.max(2, Math.floor(x.width / 110));
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = Math.max(1, [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough));
  for (let t = Math.ceil(view[0] / step) * step; t <= view[1]; t += step) {
    node("line", { class: "grid", x1: x(t), x2: x(t), y1: AXIS - 6, y2: height }, svg);
    node("text", { class: "faint", x: x(t) + 3, y: 14 }, svg, time(t, step));
  }
}

function draw(run, number) {
  const svg = run.svg, width = Math.max(360, svg.clientWidth || 900);
  svg.textContent = "";
  const tall = (lane) => (lane.kind === "wire" ? WIRE : LANE);
  const height = AXIS + run.lanes.reduce((sum, lane) => sum + tall(lane), 0);
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.setAttribute("height", height);
  const right = width - RIGHT;
  const x = (t) => GUTTER + (t - view[0]) / (view[1] - view[0]) * (right - GUTTER);
  x.width = right - GUTTER;
  x.right = right;
  run.x = x;
  let y = AXIS;
  run.lanes.forEach((lane, at) => {
    if (at % 2 === 0) node("rect", { class: "band", x: 0, y, width, height: tall(lane) }, svg);
    y += tall(lane);
  });
  axis(svg, x, height);
  for (const w of run.windows) {
    if (w.to < view[0] || w.from > view[1]) continue;
    const left = Math.max(x(w.from), GUTTER), end = Math.min(x(w.to), right);
    const box = node("rect", { class: "window", x: left, y: AXIS, width: Math.max(1, end - left), height: height - AXIS }, svg);
    node("title", {}, box, `the pod asks its ${w.family} gateway in vain, ${exact(w.to - w.from)}`);
  }
  y = AXIS;
  run.lanes.forEach((lane, at) => {
    const h = tall(lane), key = `${number}.${at}.`;
    const g = node("g", { role: "group", "aria-label": `${lane.name}: ${lane.title}` }, svg);
    const name = lane.name.length > 27 ? lane.name.slice(0, 26) + "…" : lane.name;
    const head = node("text", { x: 4, y: y + h / 2 + 4 }, g, name);
    node("title", {}, head, `${lane.name}: ${lane.title}`);
    if (lane.kind === "wire") {
      node("text", { class: "faint", x: 120, y: y + 14 }, g, "node");
      node("text", { class: "faint", x: 120, y: y + h - 6 }, g, "pod");
    }
    const { marks, bars, reach } = run.byLane[at];
    drawBars(g, lane, bars, reach, x, y, h, key);
    const drawOne = lane.kind === "wire" ? drawWire : drawMark;
    for (const [first, group] of groups(marks, x)) drawOne(g, lane, group, x, y, key + first);
    // one stop of the Tab key a lane
    const first = g.querySelector("[role=button]");
    if (first) first.setAttribute("tabindex", "0");
    y += h;
  });
  svg.setAttribute("aria-label", `${run.name}: ${run.lanes.length} lanes from ${exact(view[0])} to ${exact(view[1])}`);
}

function table(run) {
  if (!run.table.parentElement.open) return;
  const inView = run.marks.filter((m) => m.t >= view[0] && m.t <= view[1]).sort((a, b) => a.t - b.t);
  run.table.textContent = "";
  const head = html("tr", html("thead", run.table));
  for (const name of ["time", "where", "what", "why"]) html("th", head, name).scope = "col";
  const body = html("tbody", run.table);
  for (const m of inView.slice(0, TABLE_MAX)) {
    const row = html("tr", body);
    const way = m.up === undefined ? "" : m.up ? "pod > node  " : "node > pod  ";
    for (const text of [exact(m.t), run.lanes[m.lane].name, way + m.text, m.more || ""]) html("td", row, text);
  }
  if (inView.length > TABLE_MAX) {
    const cell = html("td", html("tr", body), `${inView.length - TABLE_MAX} more in view: zoom in`);
    cell.colSpan = 4;
  }
}

let waiting = false;
function show(from, to) {
  const span = Math.min(Math.max(to - from, SHORTEST), whole);
  const start = Math.min(Math.max(0, (from + to - span) / 2), whole - span);
  view = [start, start + span];
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    page.runs.forEach(draw);
    page.runs.forEach(table);
    document.getElementById("span").textContent = `${time(view[0], span / 100)} to ${time(view[1], span / 100)}`;
    const again = focused && document.querySelector(`[data-key="${focused}"]`);
    if (again) again.focus({ preventScroll: true });
  });
}

function zoom(factor, at) {
  const middle = at === undefined ? (view[0] + view[1]) / 2 : at;
  show(middle - (middle - view[0]) * factor, middle + (view[1] - middle) * factor);
}
const pan = (part) => show(view[0] + (view[1] - view[0]) * part, view[1] + (view[1] - view[0]) * part);

// From mark to mark in a lane, from lane to lane in a run.
function walk(event) {
  const here = event.target;
  if (!here.dataset || !here.dataset.key) return false;
  const lane = here.parentNode;
  const those = [...lane.querySelectorAll("[role=button]")].sort((a, b) => a.getBBox().x - b.getBBox().x);
  const at = those.indexOf(here);
  let to = null;
  if (event.key === "ArrowRight") to = those[at + 1];
  else if (event.key === "ArrowLeft") to = those[at - 1];
  else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    let next = lane;
    do next = event.key === "ArrowDown" ? next.nextElementSibling : next.previousElementSibling;
    while (next && !next.querySelector("[role=button]"));
    const middle = here.getBBox().x;
    const near = next ? [...next.querySelectorAll("[role=button]")] : [];
    to = near.sort((a, b) => Math.abs(a.getBBox().x - middle) - Math.abs(b.getBBox().x - middle))[0];
  } else if (event.key === "Enter" || event.key === " ") {
    here.zoom();
    return true;
  } else return false;
  if (to) to.focus();
  return true;
}

function keys(event) {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  const hands = { "+": () => zoom(0.5), "=": () => zoom(0.5), "-": () => zoom(2), 0: () => show(0, whole),
    PageDown: () => pan(0.8), PageUp: () => pan(-0.8) };
  if (walk(event)) event.preventDefault();
  else if (hands[event.key] && !/^(INPUT|SUMMARY)$/.test(event.target.tagName)) {
    hands[event.key]();
    event.preventDefault();
  }
}

function mouse(run) {
  const svg = run.svg;
  const at = (event) => {
    const inside = (event.clientX - svg.getBoundingClientRect().left - GUTTER) / run.x.width;
    return view[0] + inside * (view[1] - view[0]);
  };
  svg.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && Math.abs(event.deltaX) > Math.abs(event.deltaY)) pan(event.deltaX / run.x.width);
    else if (event.shiftKey || event.ctrlKey) zoom(event.deltaY < 0 ? 0.8 : 1.25, at(event));
    else return;
    event.preventDefault();
  }, { passive: false });
  let from = null;
  svg.addEventListener("pointerdown", (event) => { from = [event.clientX, view[0], view[1]]; });
  svg.addEventListener("pointermove", (event) => {
    if (!from || !(event.buttons & 1)) { from = null; return; }
    const by = (event.clientX - from[0]) / run.x.width * (from[2] - from[1]);
    if (Math.abs(event.clientX - from[0]) > 3) show(from[1] - by, from[2] - by);
  });
}

function controls(parent) {
  const bar = html("div", parent, undefined, "controls");
  for (const [name, title, act] of [["+", "zoom in (+)", () => zoom(0.5)], ["−", "zoom out (-)", () => zoom(2)],
    ["◀", "earlier (PageUp)", () => pan(-0.5)], ["▶", "later (PageDown)", () => pan(0.5)],
    ["all", "everything (0)", () => show(0, whole)]]) {
    const button = html("button", bar, name);
    button.title = title;
    button.setAttribute("aria-label", title);
    button.addEventListener("click", act);
  }
  html("span", bar).id = "span";
  html("span", bar, "Shift and the wheel zoom, dragging moves; Tab and the arrow keys go from event to event.");
  const told = html("div", parent, undefined, "told");
  told.id = "told";
  told.setAttribute("role", "status");
  told.setAttribute("aria-live", "polite");
}

const main = document.getElementById("runs");
controls(main);
for (const run of page.runs) {
  html("h2", main, run.name);
  html("p", main, run.headline, "headline");
  run.svg = node("svg", { role: "group" }, main);
  html("pre", main, run.summary);
  const list = html("details", main);
  html("summary", list, "What is in view, as a table");
  run.table = html("table", list);
  list.addEventListener("toggle", () => table(run));
  const text = html("details", main);
  html("summary", text, "The whole run, as text");
  html("pre", text, run.timeline);
  mouse(run);
}
document.addEventListener("keydown", keys);
window.addEventListener("resize", () => show(...view));
show(0, whole);
