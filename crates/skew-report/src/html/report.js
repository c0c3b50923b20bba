"use strict";
// Shows the evidence that lies in #data. Text from outside becomes text nodes only; nothing here makes markup of it.
(() => {
  const model = JSON.parse(document.getElementById("data").textContent);
  const panel = document.getElementById("panel");
  const cells = new Map();
  for (const check of model.checks) {
    for (const grid of check.grids) for (const cell of grid.cells) cells.set(cell.id, { ...cell, check: check.name });
    for (const cell of check.sets || []) cells.set(cell.id, { ...cell, check: check.name });
  }
  const pairs = new Map();
  for (const pair of model.together ? model.together.pairs : []) pairs.set(pair.a + "-" + pair.b, pair);
  const glyphs = { pass: "✓", fail: "✗", flaky: "~", interference: "⋈", broken: "B", unbuilt: "U", unsupported: "–", error: "E", untested: "?" };
  let opener = null;

  function el(tag, attributes, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) {
      if (name === "on") for (const [event, listener] of Object.entries(value)) node.addEventListener(event, listener);
      else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
    }
    node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== ""));
    return node;
  }

  const images = new Map(model.images.map((image) => [image.role + "@" + image.version, image]));
  const unbuilt = new Map(model.unbuilt.map((image) => [image.role + "@" + image.version, image]));
  const commits = new Map(model.versions.map((version) => [version.id, version.commit]));

  const plural = (n, noun) => n + " " + noun + (n === 1 ? "" : "s");
  // As `skew_core::text::duration` writes them.
  const duration = (ms) => {
    const two = (large, unit, small, part) => large + " " + unit + (small ? " " + small + " " + part : "");
    const tenths = Math.round(ms / 100), s = Math.round(ms / 1000), min = Math.round(s / 60), h = Math.round(min / 60);
    if (ms < 1000) return Math.round(ms) + " ms";
    if (tenths < 600) return tenths / 10 + " s";
    if (s < 3600) return two(Math.floor(s / 60), "min", s % 60, "s");
    return min < 1440 ? two(Math.floor(min / 60), "h", min % 60, "min") : two(Math.floor(h / 24), "d", h % 24, "h");
  };

  function badge(verdict, standing) {
    const known = { known: " known", "unexpected-pass": " unexpected" }[standing] || "";
    return el("span", { class: "word " + verdict + known }, glyphs[verdict] + " " + verdict);
  }

  function command(text) {
    const copy = el("button", { type: "button", on: { click: () => {
      const done = () => { copy.textContent = "Copied"; };
      if (navigator.clipboard) navigator.clipboard.writeText(text).then(done, () => select(code));
      else select(code);
    } } }, "Copy");
    const code = el("pre", {}, text);
    return el("div", { class: "command" }, code, copy);
  }

  function select(node) {
    const selection = getSelection();
    selection.selectAllChildren(node);
  }

  function tallies(counts) {
    const line = (name, ...numbers) => [el("span", { class: "h" }, name), ...numbers.map((n) => el("span", {}, String(n)))];
    return el("div", { class: "tallies" },
      line("", "worked", "failed", "both"),
      line("networks", counts.passed, counts.failed, counts.mixed),
      line("of them in isolation", counts.passed_isolated, counts.failed_isolated, "–"),
      line("single observations", counts.oks, counts.failures, "–"));
  }

  function concerns(cell, observation, party) {
    if (observation.check !== cell.check) return false;
    const from = observation.from && party.get(observation.from);
    const to = observation.to && party.get(observation.to);
    const [first, second] = cell.parties;
    if (cell.parties.length > 2) return true;
    if (cell.cell.includes(" -> ")) return from === first && to === (second || first);
    return [from, to].every((one) => !one || cell.parties.includes(one));
  }

  function observationRow(observation, party) {
    const nodes = [observation.from, observation.to].filter(Boolean).join(" → ")
      + (observation.via ? " via " + observation.via.join(", ") : "");
    const versions = [observation.from, observation.to].filter(Boolean).map((node) => party.get(node) || node).join(" → ");
    const times = observation.count > 1 ? " ×" + observation.count : "";
    return el("tr", {},
      el("td", {}, el("span", { class: "result " + observation.result }, observation.result), times),
      el("td", {}, observation.check + " ", nodes, el("div", { class: "soft" }, versions)),
      el("td", { class: "detail" }, observation.detail || "", el("div", { class: "soft" }, "after " + duration(observation.at_ms))));
  }

  const observationTable = (observations, party) =>
    el("table", { class: "observations" }, el("tbody", {}, observations.map((one) => observationRow(one, party))));

  const signs = { start: "▸", ready: "●", ok: "✓", failed: "✗", exit: "■", ended: "□", other: "·" };
  const inWords = { start: "started", ready: "ready", ok: "worked", failed: "failed", exit: "exited unasked", ended: "ended", other: "" };

  // A lane for each node: when it started, was ready, worked, failed and exited.
  function timeline(net, cell, party) {
    const lanes = new Map(net.seats.map((seat) => [seat.node, []]));
    const mark = (node, at, kind, text) => { if (lanes.has(node)) lanes.get(node).push({ at, kind, text }); };
    for (const moment of net.timeline || []) {
      if (!moment.what.startsWith("exit")) mark(moment.node, moment.at_ms, ["start", "ready"].includes(moment.what) ? moment.what : "other", moment.what);
      else if (!(net.exits || []).some((exit) => exit.node === moment.node)) mark(moment.node, moment.at_ms, "ended", moment.what);
    }
    for (const exit of net.exits || []) mark(exit.node, exit.at_ms, "exit", exit.text);
    for (const one of net.observations) {
      if (["builds", "starts", "ready", "exit"].includes(one.check) || one.result === "blocked") continue;
      const ends = [one.from, one.to].filter(Boolean).join(" → ");
      mark(one.from || one.to, one.at_ms, one.result === "ok" ? "ok" : one.result === "unsupported" ? "other" : "failed",
        one.check + " " + ends + ": " + one.result);
    }
    const end = Math.max(1, net.duration_ms, ...[...lanes.values()].flat().map((one) => one.at));
    const lane = ([node, marks]) => {
      marks.sort((a, b) => a.at - b.at);
      const said = marks.slice(0, 12).map((one) => (inWords[one.kind] || one.text) + " at " + duration(one.at));
      const track = el("span", { class: "track", role: "img", "aria-label": node + ": " + (said.join(", ") || "nothing was seen") },
        marks.slice(0, 100).map((one) => {
          const sign = el("i", { class: "mark " + one.kind, title: one.text + ", after " + duration(one.at) }, signs[one.kind]);
          sign.style.left = (100 * one.at / end) + "%";
          return sign;
        }));
      return [el("span", { class: cell.parties.includes(party.get(node)) ? "lane in" : "lane" }, node), track];
    };
    return el("div", { class: "timeline" }, [...lanes].slice(0, 40).map(lane),
      el("span", {}), el("span", { class: "axis" }, el("span", {}, "0 s"), el("span", {}, duration(end))),
      el("p", { class: "soft" }, "▸ started  ● ready  ✓ worked  ✗ failed  ■ exited unasked  □ ended"));
  }

  // From what the parties of a cell were built.
  function builds(cell) {
    const line = (name) => {
      const commit = commits.get(name.slice(name.indexOf("@") + 1));
      const image = images.get(name);
      const failed = unbuilt.get(name);
      return el("li", {}, el("code", {}, name), commit ? [" from ", el("code", {}, commit.slice(0, 10))] : null,
        image ? [", image ", el("code", {}, image.manifest.replace("sha256:", "").slice(0, 12)), ", built in " + duration(image.duration_ms)] : null,
        failed ? el("details", {}, el("summary", {}, "was not built: " + failed.detail), el("pre", { class: "log" }, failed.tail.join("\n"))) : null);
    };
    return el("ul", { class: "built" }, [...new Set(cell.parties)].map(line));
  }

  function network(id, cell, open) {
    const net = model.networks[id];
    if (!net) return null;
    const party = new Map(net.seats.map((seat) => [seat.node, seat.party]));
    const mine = net.observations.filter((one) => concerns(cell, one, party));
    const failures = net.observations.filter((one) => !mine.includes(one) && !["ok", "unsupported", "blocked"].includes(one.result));
    const left = net.observations_left_out || 0;
    const all = net.observations.length + left;
    const details = el("details", { class: "network", open },
      el("summary", {}, "Network " + net.network + ", run " + net.reason));
    const fill = () => {
      if (details.childElementCount > 1) return;
      const body = el("div", {},
        el("p", { class: "soft" }, plural(net.seats.length, "node") + ", seed " + net.seed + ", " + net.started + ", took " + duration(net.duration_ms)
          + ", " + net.place + Object.entries(net.axes || {}).map(([axis, value]) => ", " + axis + "=" + value).join("")),
        net.error ? el("p", { class: "reason" }, "The infrastructure failed: " + net.error) : null,
        el("ul", { class: "seats", "aria-label": "seats" }, net.seats.map((seat) =>
          el("li", { class: cell.parties.includes(seat.party) ? "in" : null },
            seat.node + " ", el("code", {}, seat.party), seat.support ? el("span", { class: "soft" }, " support") : null))),
        el("h3", {}, mine.length ? "Observed for this cell" : "Nothing was observed for this cell itself"),
        mine.length ? observationTable(mine.slice(0, 50), party) : null,
        mine.length > 50 ? el("p", { class: "soft" }, "… and " + plural(mine.length - 50, "more observation")) : null,
        failures.length ? [el("h3", {}, "Other failures in this network"), observationTable(failures.slice(0, 10), party),
          failures.length > 10 ? el("p", { class: "soft" }, "… and " + (failures.length - 10) + " more") : null] : null,
        net.exits ? [el("h3", {}, "Exited unasked"), el("ul", {}, net.exits.map((exit) =>
          el("li", {}, exit.text + " after " + duration(exit.at_ms))))] : null,
        el("h3", {}, "What happened when"), timeline(net, cell, party),
        net.excerpts ? el("h3", {}, "Log lines") : null,
        el("div", { class: "logs" }, (net.excerpts || []).map((excerpt) => el("figure", {},
          el("figcaption", {}, excerpt.node + " (" + (party.get(excerpt.node) || "?") + "): " + excerpt.why),
          el("pre", { class: "log", tabindex: "0" }, excerpt.lines.join("\n"))))),
        el("h3", {}, "Run it again"), command(net.reproduce));
      if (all > mine.length) {
        const every = el("details", {}, el("summary", {}, "All " + plural(all, "observation")));
        every.addEventListener("toggle", () => {
          if (every.childElementCount > 1) return;
          every.append(observationTable(net.observations, party));
          if (left) every.append(el("p", { class: "soft" }, "… and " + left + " more, which the store has"));
        });
        body.insertBefore(every, body.lastElementChild.previousElementSibling);
      }
      details.append(body);
    };
    details.addEventListener("toggle", fill);
    if (open) fill();
    return details;
  }

  const cellLink = (id) => {
    const cell = cells.get(id);
    return cell ? el("li", {}, el("a", { href: "#cell=" + id }, badge(cell.verdict, cell.standing), " " + cell.cell)) : null;
  };

  function showCell(cell) {
    const hidden = cell.evidence_total - cell.evidence.length;
    show(
      [badge(cell.verdict, cell.standing), " " + cell.cell],
      el("p", { id: "sentence" }, cell.sentence),
      cell.known ? el("p", { class: "reason" },
        cell.standing === "unexpected-pass" ? "It was known to fail, and no longer does: " : "Known failure: ", cell.known.reason, " ",
        cell.known.link ? el("a", { href: cell.known.link, rel: "noreferrer noopener" }, cell.known.link) : null) : null,
      cell.asked ? null : el("p", { class: "soft" }, "It was not asked: it was seen on the way, and counts for nothing."),
      cell.because && cells.has(cell.because) ? el("ul", { class: "cells" }, cellLink(cell.because)) : null,
      cell.history ? [el("h3", {}, "Over the sweeps"), el("ul", {}, cell.history.map((was) => el("li", {},
        was.verdict ? badge(was.verdict, was.standing) : "not asked", " since " + model.sweeps[was.sweep].started)))] : null,
      cell.evidence_total ? [el("h3", {}, "How often"), tallies(cell.counts)] : null,
      cell.reproduce ? [el("h3", {}, "See it happen"), command(cell.reproduce)] : null,
      cell.evidence.length ? [el("h3", {}, "Evidence: " + plural(cell.evidence_total, "network")),
        cell.evidence.map((id, n) => network(id, cell, n === 0)),
        hidden > 0 ? el("p", { class: "soft" }, plural(hidden, "more network") + ": " + model.show.replace("CELL", cell.id)) : null] : null,
      el("h3", {}, "Built from"), builds(cell),
      el("p", { class: "soft" }, "Cell ", el("code", {}, cell.id), " · ", el("a", { href: "#cell=" + cell.id }, "link to this cell")));
  }

  function showPair(pair) {
    const [a, b] = [model.together.versions[pair.a], model.together.versions[pair.b]];
    const title = a === b ? a + " with itself" : a + " towards " + b;
    show(
      [badge(pair.verdict, pair.standing), " " + title],
      el("p", { id: "sentence" }, pair.passed + " of " + plural(pair.cells, "cell") + " of " + title + " "
        + (pair.passed === 1 ? "passes." : "pass.")),
      pair.worst.length ? [el("h3", {}, "What does not pass"), el("ul", { class: "cells" }, pair.worst.map(cellLink))] : null);
  }

  function show(title, ...content) {
    panel.replaceChildren(
      el("button", { type: "button", class: "close", "aria-label": "Close", on: { click: close } }, "×"),
      el("h2", { id: "panel-title", tabindex: "-1" }, title),
      ...content.flat(Infinity).filter(Boolean));
    panel.hidden = false;
    panel.scrollTop = 0;
    document.body.classList.add("open");
    panel.querySelector("h2").focus({ preventScroll: true });
  }

  function mark(selector) {
    for (const old of document.querySelectorAll('[aria-expanded="true"]')) old.removeAttribute("aria-expanded");
    for (const now of selector ? document.querySelectorAll(selector) : []) now.setAttribute("aria-expanded", "true");
  }

  // The address says what is open and what is filtered, so that Back works and a link can be sent.
  const KEYS = ["cell", "pair", "show", "find", "check", "order", "sort"];
  let address = new URLSearchParams();

  function readAddress() {
    const read = new URLSearchParams(location.hash.slice(1));
    address = new URLSearchParams();
    for (const key of KEYS) if (read.get(key)) address.set(key, read.get(key).slice(0, 100));
  }

  // Values that are empty are left out. What is opened is a step of the history; a filter is not.
  function goTo(changes, step) {
    const next = new URLSearchParams();
    for (const key of KEYS) {
      const value = key in changes ? changes[key] : address.get(key);
      if (value) next.set(key, value);
    }
    const hash = next.toString();
    if (hash === address.toString()) return follow();
    if (step) location.hash = hash;
    else {
      history.replaceState(null, "", hash ? "#" + hash : location.pathname + location.search);
      follow();
    }
  }

  function follow() {
    readAddress();
    filter();
    const [cell, pair] = [address.get("cell"), address.get("pair")];
    if (cells.has(cell)) showCell(cells.get(cell));
    else if (pairs.has(pair)) showPair(pairs.get(pair));
    else return hide();
    const selector = cells.has(cell) ? 'button[data-cell="' + cell + '"]' : 'button[data-pair="' + pair + '"]';
    mark(selector);
    if (!opener) {
      opener = document.querySelector(selector);
      if (opener) opener.scrollIntoView({ block: "center", inline: "center" });
    }
  }

  function open(button) {
    opener = button;
    goTo({ cell: button.dataset.cell || "", pair: button.dataset.pair || "" }, true);
  }

  function close() {
    if (!panel.hidden) goTo({ cell: "", pair: "" }, false);
  }

  function hide() {
    if (panel.hidden) return;
    panel.hidden = true;
    panel.replaceChildren();
    document.body.classList.remove("open");
    mark(null);
    if (opener && opener.isConnected) focusCell(opener);
    opener = null;
  }

  // One stop of the Tab key for each matrix; arrows move inside.
  function focusCell(button) {
    const table = button.closest(".matrix");
    if (table) for (const other of table.querySelectorAll('button.c[tabindex="0"]')) other.tabIndex = -1;
    button.tabIndex = 0;
    button.focus();
  }

  function step(button, rows, columns) {
    const td = button.closest("td");
    let tr = td.parentElement;
    let at = td.cellIndex;
    for (;;) {
      if (rows) tr = rows > 0 ? tr.nextElementSibling : tr.previousElementSibling;
      at += columns;
      if (!tr || at < 1 || at >= tr.cells.length) return;
      const next = !tr.hidden && !tr.cells[at].hidden && tr.cells[at].querySelector("button.c");
      if (next) return focusCell(next);
    }
  }

  const arrows = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
  document.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.key === "Escape") return close();
    const button = event.target.closest && event.target.closest(".matrix button.c");
    if (!button) return;
    if (arrows[event.key]) step(button, ...arrows[event.key]);
    else if (event.key === "Home" || event.key === "End") {
      const all = button.closest("tr").querySelectorAll("button.c");
      focusCell(all[event.key === "Home" ? 0 : all.length - 1]);
    } else return;
    event.preventDefault();
  });

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-cell], button[data-pair]");
    if (button) return open(button);
    const only = event.target.closest("button[data-only]");
    if (only) return goTo({ show: only.getAttribute("aria-pressed") === "true" ? "" : only.dataset.only }, false);
    const sort = event.target.closest(".sortable th button");
    if (sort) return goTo({ sort: sorting(sort) }, false);
    // Links into the page and to cells keep the filters.
    const part = event.target.closest("nav a");
    if (part) {
      event.preventDefault();
      const heading = document.getElementById(part.hash.slice(1));
      heading.tabIndex = -1;
      heading.focus({ preventScroll: true });
      return heading.closest("section").scrollIntoView();
    }
    const link = event.target.closest('a[href^="#cell="]');
    if (!link) return;
    event.preventDefault();
    if (!panel.contains(link)) opener = link;
    goTo({ cell: link.getAttribute("href").slice(6), pair: "" }, true);
  });

  const tools = document.querySelector(".tools");
  tools.addEventListener("submit", (event) => event.preventDefault());
  tools.addEventListener("reset", () => goTo({ show: "", find: "", check: "", order: "" }, false));
  tools.addEventListener("input", (event) => {
    const { name, value } = event.target;
    if (name) goTo({ [name]: value.trim() }, false);
  });

  // What can be filtered and reordered, as it was when the page came.
  const tables = [...document.querySelectorAll(".matrix")].map((table) => {
    const head = table.tHead.rows[0];
    const rows = [...table.tBodies[0].rows].map((tr) => ({ tr, name: tr.cells[0].textContent, cells: [...tr.cells].slice(1) }));
    const section = table.closest("section");
    const { from, to } = table.dataset;
    const columns = [...head.cells].slice(1);
    const text = (row, n) => [section.dataset.check || "", from + "@" + row.name, to + "@" + columns[n].textContent, from, to].join(" ").toLowerCase();
    const at = rows.map((row) => row.cells.map((td, n) => {
      const button = td.querySelector("button.c");
      return button && { button, verdict: button.classList[1], text: text(row, n) };
    }));
    return { table, section, head, columns, rows, at };
  });
  const every = cells.size;
  const listed = [...document.querySelectorAll(".findings li, .list tbody tr, details.build")];
  let drawn = "";
  let ordered = "";
  let sorted = "";

  function filter() {
    const [show, find, check, order, sort] = ["show", "find", "check", "order", "sort"].map((key) => address.get(key) || "");
    const fields = tools.elements;
    for (const [name, value] of [["find", find], ["check", check], ["order", order]]) {
      if (fields[name].value.trim() !== value) fields[name].value = value;
    }
    for (const button of tools.querySelectorAll("button[data-only]")) button.setAttribute("aria-pressed", String(button.dataset.only === show));
    tools.querySelector("[type=reset]").hidden = !(show || find || check || order);
    if (order !== ordered) reorder(ordered = order);
    if (sort !== sorted) sortLists(sorted = sort);
    const now = [show, find, check].join("\n");
    if (now === drawn) return;
    drawn = now;
    const words = find.toLowerCase().split(/\s+/).filter(Boolean);
    const matches = (text) => words.every((word) => text.includes(word));
    const filtered = Boolean(show || words.length);
    document.body.classList.toggle("filtered", filtered);
    const found = new Set();
    for (const { table, section, columns, rows, at } of tables) {
      // The matrix over all checks shows what is counted already.
      const counts = section.dataset.check && (!check || section.dataset.check === check);
      const seen = { rows: rows.map(() => !filtered), columns: columns.map(() => !filtered) };
      at.forEach((line, row) => line.forEach((cell, column) => {
        if (!cell) return;
        const fits = (!show || cell.verdict === show) && matches(cell.text);
        cell.button.classList.toggle("only", filtered && fits);
        if (fits) seen.rows[row] = seen.columns[column] = true;
        if (fits && counts) found.add(cell.button.dataset.cell);
      }));
      table.closest(".scroll").hidden = !seen.rows.includes(true);
      // Rows and columns without anything to see make room for the others.
      columns.forEach((th, column) => { th.hidden = !seen.columns[column]; });
      rows.forEach(({ tr, cells }, row) => {
        tr.hidden = !seen.rows[row];
        cells.forEach((td, column) => { td.hidden = !seen.columns[column]; });
      });
    }
    for (const section of document.querySelectorAll(".grids")) {
      const grids = [...section.querySelectorAll(".scroll")];
      section.hidden = (Boolean(check) && section.dataset.check !== check)
        || (filtered && grids.length > 0 && grids.every((grid) => grid.hidden));
    }
    for (const one of listed) {
      const text = one.textContent.toLowerCase().replaceAll("@", " ");
      const about = one.dataset.word;
      one.hidden = !words.every((word) => text.includes(word.replaceAll("@", " ")))
        || Boolean(about && ((show && about !== show) || (check && one.dataset.check !== check)));
    }
    tools.querySelector("output").textContent = filtered || check ? found.size + " of " + every + " cells" : "";
  }

  function reorder(order) {
    const places = (badness) => {
      const all = badness.map((_, n) => n);
      if (order === "newest") all.reverse();
      if (order === "worst") all.sort((a, b) => badness[b] - badness[a] || a - b);
      return all;
    };
    for (const { table, head, columns, rows, at } of tables) {
      const bad = (cell) => (cell && !["pass", "unsupported"].includes(cell.verdict) ? 1 : 0);
      const ofRow = places(at.map((line) => line.reduce((sum, cell) => sum + bad(cell), 0)));
      const ofColumn = places(columns.map((_, n) => at.reduce((sum, line) => sum + bad(line[n]), 0)));
      head.append(...ofColumn.map((n) => columns[n]));
      for (const { tr, cells } of rows) tr.append(...ofColumn.map((n) => cells[n]));
      table.tBodies[0].append(...ofRow.map((n) => rows[n].tr));
    }
  }

  // `versions.2`: the third column of that table, from small to large; `-versions.2`: from large to small.
  function sorting(button) {
    const th = button.closest("th");
    const key = th.closest("table").dataset.sort + "." + th.cellIndex;
    const first = th.cellIndex === 0 ? key : "-" + key;
    const second = th.cellIndex === 0 ? "-" + key : key;
    return address.get("sort") === first || (!address.get("sort") && th.cellIndex === 0) ? second : first;
  }

  function sortLists(sort) {
    const [, down, name, column] = /^(-?)([a-z]+)\.(\d+)$/.exec(sort) || [null, "", "", "0"];
    for (const table of document.querySelectorAll(".sortable")) {
      const at = table.dataset.sort === name ? Number(column) : 0;
      const sign = table.dataset.sort === name && down ? -1 : 1;
      const value = (tr) => Number(tr.cells[at]?.dataset.value ?? 0);
      const rows = [...table.tBodies[0].rows];
      rows.sort((a, b) => sign * (value(a) - value(b)) || Number(a.cells[0].dataset.value) - Number(b.cells[0].dataset.value));
      table.tBodies[0].append(...rows);
      for (const th of table.tHead.rows[0].cells) {
        if (th.cellIndex === at) th.setAttribute("aria-sort", sign < 0 ? "descending" : "ascending");
        else th.removeAttribute("aria-sort");
      }
    }
  }

  // The row and the column that the pointer or the focus is in.
  let lit = [];
  function light(event) {
    const td = event.target.closest && event.target.closest(".matrix td");
    for (const one of lit) one.classList.remove("lit");
    lit = [];
    if (!td || !td.querySelector("button.c")) return;
    const table = td.closest("table");
    lit = [...table.rows].map((tr) => tr.cells[td.cellIndex]).concat(...td.parentElement.cells);
    for (const one of lit) one.classList.add("lit");
  }
  for (const kind of ["mouseover", "focusin"]) document.addEventListener(kind, light);

  for (const table of document.querySelectorAll(".matrix")) {
    const first = table.querySelector("button.c");
    if (first) first.tabIndex = 0;
  }
  for (const button of document.querySelectorAll(".sets button.c")) button.tabIndex = 0;
  addEventListener("hashchange", follow);
  follow();
})();
