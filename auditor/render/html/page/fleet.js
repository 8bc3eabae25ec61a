/* The list of a fleet's computers: filters, sorting, the view of one computer. All text goes in as text, never as markup.
   The part of the address behind # holds filters and the computer that is open, so that a link leads there. */
(function () {
  "use strict";

  const PAGE = 50; // rows
  const TYPED = 400; // milliseconds after the last key until the address follows
  const STOP_FACETS = ["requirement", "verdict", "place", "direction", "device"];
  const FACETS = ["subnet", "site"].concat(STOP_FACETS);
  const STATES = { fails: "bad", unproven: "unsure", "no-evidence": "untried", allowed: "good", works: "good" };
  const BAD = ["blocked", "no-response", "refused", "unreachable", "failed"];
  const ADDRESS = "\ue000", NAME = "\ue001"; // see fleet_hosts.py
  const SORTS = [["result", "result"], ["name", "name"], ["address", "address"], ["subnet", "subnet"], ["site", "site"]];

  const all = parsed("hosts");
  const count = all.names.length;
  const blocks = new Map();
  let texts = null;
  let searched = null;
  const orders = new Map();
  let state = {};
  let shown = []; // numbers of the computers that pass the filters
  let drawn = ""; // the filters that shown is for
  let first = 0; // of the rows of this page
  let timer = 0;
  let asked = false; // the address is about to follow what was done in the list

  function parsed(id) {
    return JSON.parse(document.getElementById(id).textContent);
  }

  // elements

  function make(tag, attributes, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) {
      if (typeof value === "function") {
        made.addEventListener(name, value);
      } else if (value !== undefined && value !== false) {
        made.setAttribute(name, value === true ? "" : value);
      }
    }
    made.append(...children.filter((one) => one !== "" && one !== null && one !== undefined));
    return made;
  }

  function link(text, wanted) {
    return make("a", { href: "#" + written(wanted) }, text);
  }

  function verdict(text, kind) {
    return make("span", { class: "verdict " + kind }, text);
  }

  // the address

  function read(hash) {
    const given = new URLSearchParams(hash.slice(1));
    const found = {};
    for (const [name, value] of given) {
      if (["q", "method", "result", "sort", "host"].concat(FACETS).includes(name)) {
        found[name] = value;
      }
    }
    return found;
  }

  function written(of) {
    return Object.entries(of)
      .filter(([name, value]) => value !== undefined && (value !== "" || FACETS.includes(name)))
      .map(([name, value]) => name + "=" + encodeURIComponent(value).replace(/%2F/g, "/").replace(/%3A/g, ":"))
      .join("&");
  }

  function go(to) {
    const hash = written(to);
    if (hash && hash !== location.hash.slice(1)) {
      asked = true;
      location.hash = hash;
    } else if (location.hash && !hash) {
      settle(to, "pushState");
    }
    apply(to);
  }

  function settle(to, how) {
    const hash = written(to);
    try {
      history[how || "replaceState"](null, "", hash ? "#" + hash : location.pathname + location.search);
    } catch (error) {
      location.hash = hash; // where a page from a disk may not do that
    }
  }

  function change(by) {
    go(Object.assign({}, state, by));
  }

  // one computer's result

  function methodNumber() {
    const found = all.methods.findIndex((one) => one[0] === state.method);
    return found < 0 ? all.main : found;
  }

  function resultOf(n, method) {
    return all.outcomes[all.outcome[n]][method][0];
  }

  function label(result) {
    return result.replace("-", " ");
  }

  function row(requirement) {
    return requirement.slice(requirement.indexOf("/") + 1);
  }

  function at(place, device) {
    if (device && place !== "client") {
      return " at " + device;
    }
    const known = { client: " at the client", between: " on the path", unknown: "", "": "" };
    return place in known ? known[place] : " at the " + place.replaceAll("-", " ");
  }

  function reasons(n, method) {
    const [result, blamed, missing, steps] = all.outcomes[all.outcome[n]][method];
    const kind = all.results[result];
    if (steps.length) {
      return steps.map((one) => all.steps[one]).join("; ");
    }
    if (kind === "fails") {
      const stops = all.stopSets[all.stopped[n]].map((one) => all.stops[one]);
      const rows = new Map(); // those that are stopped alike together
      for (const one of blamed) {
        const stop = stops.find((stop) => stop[0] === all.requirements[one]);
        const how = !stop ? "" : stop[1] === "problem" ? " open, but failed" : " " + stop[1] + at(stop[2], stop[5]);
        rows.set(how, (rows.get(how) || []).concat([row(all.requirements[one])]));
      }
      return Array.from(rows, ([how, names]) => names.join(", ") + how).join("; ");
    }
    if (kind === "unproven") {
      return "not verified: " + missing.map((one) => row(all.requirements[one])).join(", ");
    }
    if (kind === "no-evidence") {
      return all.files[n] ? "no attempt in its sources" : "no readable source";
    }
    return "";
  }

  // filters

  function counts(stop, method) {
    return state.requirement ? true : stop[0].startsWith(all.methods[method][0] + "/");
  }

  function stopFlags(method, accept) {
    const good = all.stops.map((stop) => counts(stop, method) && accept(stop));
    return all.stopSets.map((set) => set.some((one) => good[one]));
  }

  function wordFlags(word, method) {
    const has = (text) => text !== null && text.toLowerCase().includes(word); // null: it has no source
    return {
      word: word,
      subnets: all.subnets.map(has),
      sites: all.sites.map(has),
      results: all.results.map((one) => has(one) || has(label(one))),
      stopSets: stopFlags(method, (stop) => has([row(stop[0]), stop[1], stop[4], stop[5]].join(" "))),
    };
  }

  function filtered() {
    const method = methodNumber();
    searched = searched || all.names.map((name, n) => (name + " " + all.addresses[n]).toLowerCase());
    const words = (state.q || "").toLowerCase().split(/\s+/).filter(Boolean).map((word) => wordFlags(word, method));
    const wanted = (state.result || "").split(",").filter(Boolean);
    const results = all.results.map((one) => !wanted.length || wanted.includes(one));
    const subnet = "subnet" in state ? all.subnets.indexOf(state.subnet) : null;
    const site = "site" in state ? all.sites.indexOf(state.site) : null;
    const facets = STOP_FACETS.map((name, at) => [at, state[name]]).filter((one) => one[1] !== undefined);
    const stops = facets.length ? stopFlags(method, (stop) => facets.every(([at, value]) => stop[at] === value)) : null;
    const tally = all.results.map(() => 0);
    const found = [];
    for (const n of order(method)) {
      const result = resultOf(n, method);
      if ((subnet === null || all.subnet[n] === subnet) && (site === null || all.site[n] === site) &&
          (!stops || stops[all.stopped[n]]) && words.every((one) => one.subnets[all.subnet[n]] || one.sites[all.site[n]] ||
            one.results[result] || one.stopSets[all.stopped[n]] || searched[n].includes(one.word))) {
        tally[result] += 1;
        if (results[result]) {
          found.push(n);
        }
      }
    }
    return [found, tally];
  }

  // sorting

  function ranked(values, compare) {
    const sorted = values.map((value, n) => n).sort((a, b) => compare(values[a], values[b]) || a - b);
    const ranks = new Uint32Array(values.length);
    sorted.forEach((n, at) => { ranks[n] = at && compare(values[sorted[at - 1]], values[n]) === 0 ? ranks[sorted[at - 1]] : at; });
    return ranks;
  }

  function addressKey(text) {
    const own = text.split("\n", 1)[0];
    return own.includes(":") ? ":" + own : own.split(".").map((part) => part.padStart(3, "0")).join(".");
  }

  function sorting() {
    const by = state.sort || "result";
    const down = by.startsWith("-");
    const key = down ? by.slice(1) : by;
    return SORTS.some((one) => one[0] === key) ? [key, down] : ["result", false];
  }

  function order(method) {
    const [key, down] = sorting();
    const cached = [key, down, method].join();
    if (!orders.has(cached)) {
      const numbers = Uint32Array.from({ length: count }, (_, n) => n);
      const sign = down ? -1 : 1;
      const [rank, empty] = ranking(key, method);
      numbers.sort((a, b) => empty(a) - empty(b) || sign * (rank(a) - rank(b)) || a - b); // what is not known stays last
      orders.set(cached, numbers);
    }
    return orders.get(cached);
  }

  function ranking(key, method) {
    if (key === "result") {
      return [(n) => resultOf(n, method), () => 0];
    }
    if (key === "name") {
      return [(n) => n, () => 0]; // they come in this order
    }
    if (key === "address") {
      const ranks = ranked(all.addresses.map(addressKey), (a, b) => (a < b ? -1 : a > b ? 1 : 0));
      return [(n) => ranks[n], (n) => all.addresses[n] === ""];
    }
    const compare = new Intl.Collator("en", { numeric: true }).compare;
    const names = all[key + "s"], ranks = ranked(names, (a, b) => compare(a || "", b || ""));
    return [(n) => ranks[all[key][n]], (n) => !names[all[key][n]]];
  }

  // the list

  const input = make("input", { type: "search", id: "filter", autocomplete: "off", spellcheck: "false", input: typed });
  const method = make("select", { change: () => change({ method: all.methods[method.selectedIndex][0] }) },
    ...all.methods.map((one) => make("option", {}, one[1])));
  const sort = make("select", { change: () => change({ sort: SORTS[sort.selectedIndex][0] }) },
    ...SORTS.map((one) => make("option", {}, one[1])));
  const chips = make("div", { class: "chips", role: "group", "aria-label": "Results" });
  const chosen = make("div", { class: "chips", role: "group", "aria-label": "Active filters" });
  const tally = make("span", { role: "status" });
  const copy = make("button", { type: "button", click: copyNames }, "Copy names");
  const heads = SORTS.filter((one) => one[0] !== "result").concat([SORTS[0]]).map(([key, text]) =>
    make("th", { scope: "col", class: "host-" + key }, make("button", { type: "button", click: () => turn(key) }, text)));
  heads[0].querySelector("button").textContent = "computer";
  const body = make("tbody");
  const table = make("table", { class: "hosts" }, make("caption", {}, "Filtered computers; select a name for its evidence"),
    make("thead", {}, make("tr", {}, ...heads, make("th", { scope: "col", class: "host-why" }, "why"))), body);
  const before = make("button", { type: "button", click: () => page(-PAGE) }, "Previous");
  const after = make("button", { type: "button", click: () => page(PAGE) }, "Next");
  const place = make("span", {});

  function typed() {
    state = Object.assign({}, state, { q: input.value });
    draw();
    const before = location.hash;
    clearTimeout(timer);
    timer = setTimeout(() => { if (location.hash === before) { settle(state); } }, TYPED);
  }

  function turn(key) {
    const [now, down] = sorting();
    change({ sort: now === key && !down ? "-" + key : key });
  }

  function page(by) {
    first = Math.max(0, Math.min(first + by, shown.length - 1));
    rows();
    table.scrollIntoView({ block: "start" });
  }

  function toggled(result) {
    const wanted = (state.result || "").split(",").filter(Boolean);
    const now = wanted.includes(result) ? wanted.filter((one) => one !== result) : wanted.concat([result]);
    change({ result: now.join() });
  }

  function copyNames() {
    navigator.clipboard.writeText(shown.map((n) => all.names[n]).join("\n")).then(
      () => { copy.textContent = "Copied"; }, () => { copy.textContent = "Not allowed here"; });
  }

  function draw() {
    const filters = written(Object.assign({}, state, { host: undefined }));
    if (filters === drawn && body.firstChild) {
      return;
    }
    drawn = filters;
    first = 0;
    const [found, tallied] = filtered();
    shown = found;
    if (input.value !== (state.q || "")) {
      input.value = state.q || "";
    }
    method.selectedIndex = methodNumber();
    tally.textContent = shown.length.toLocaleString("en") + " of " + count.toLocaleString("en") + " computers";
    copy.hidden = !navigator.clipboard || !shown.length;
    copy.textContent = "Copy names";
    drawChips(tallied);
    const [key, down] = sorting();
    sort.selectedIndex = SORTS.findIndex((one) => one[0] === key);
    for (const head of heads) {
      if (head.className === "host-" + key) {
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
      } else {
        head.removeAttribute("aria-sort");
      }
    }
    rows();
  }

  function drawChips(tallied) {
    const wanted = (state.result || "").split(",");
    if (!chips.firstChild) {
      chips.append(...all.results.map((one) =>
        make("button", { type: "button", click: () => toggled(one) }, verdict(label(one), STATES[one]), " ", make("span"))));
    }
    all.results.forEach((one, n) => {
      chips.children[n].setAttribute("aria-pressed", wanted.includes(one));
      chips.children[n].lastChild.textContent = tallied[n].toLocaleString("en");
    });
    const inForce = FACETS.filter((name) => state[name] !== undefined);
    chosen.replaceChildren(...inForce.map((name) => {
      const text = name + ": " + (state[name] || "unknown");
      return make("button", { type: "button", "aria-label": "Remove the filter " + text,
        click: () => { change({ [name]: undefined }); input.focus(); } }, text + " ✕");
    }));
    if (written(Object.assign({}, state, { host: undefined, sort: undefined }))) {
      chosen.append(make("button", { type: "button", click: () => { go({}); input.focus(); } }, "Show all"));
    }
  }

  function rows() {
    const method = methodNumber();
    body.replaceChildren(...shown.slice(first, first + PAGE).map((n) => {
      const name = all.names[n], result = all.results[resultOf(n, method)];
      const own = all.addresses[n].split("\n", 1)[0], subnet = all.subnets[all.subnet[n]], site = all.sites[all.site[n]];
      const opens = link(name, Object.assign({}, state, { host: name }));
      const why = reasons(n, method);
      const small = [own === name ? "" : own, site].filter(Boolean).join(" · ");
      return make("tr", {},
        make("th", { scope: "row", class: "host-name" }, opens, make("span", { class: "small quiet" }, small),
          make("span", { class: "small" }, why)),
        make("td", { class: "host-address" }, own), make("td", { class: "host-subnet" }, subnet),
        make("td", { class: "host-site" }, site), make("td", { class: "host-result verdict " + STATES[result] }, label(result)),
        make("td", { class: "host-why" }, why));
    }));
    const pages = Math.max(1, Math.ceil(shown.length / PAGE)), now = Math.floor(first / PAGE);
    before.disabled = now === 0;
    after.disabled = now >= pages - 1;
    place.textContent = "Page " + (now + 1).toLocaleString("en") + " of " + pages.toLocaleString("en");
    if (!shown.length) {
      body.append(make("tr", {}, make("td", { colspan: 6 }, "No computer passes these filters.")));
    }
  }

  // one computer

  const dialog = document.getElementById("host");

  function details(n) {
    const block = Math.floor(n / all.block);
    if (!blocks.has(block)) {
      blocks.set(block, parsed("block-" + block));
    }
    return blocks.get(block)[n % all.block];
  }

  function teller(n) {
    texts = texts || parsed("texts");
    const own = all.addresses[n].split("\n", 1)[0];
    return (number) => texts[number].split(NAME).join(all.names[n]).split(ADDRESS).join(own);
  }

  function find(name) {
    const exact = all.names.indexOf(name);
    if (exact >= 0) {
      return exact;
    }
    const lower = name.toLowerCase();
    const like = all.names.findIndex((one) => one.toLowerCase() === lower);
    return like >= 0 ? like : all.addresses.findIndex((one) => one.split("\n").includes(lower));
  }

  function open(name) {
    const n = find(name);
    const close = make("button", { type: "button", click: () => dialog.close() }, "Close");
    const title = make("h2", { id: "host-name" }, n < 0 ? "No such computer" : all.names[n]);
    dialog.replaceChildren(make("div", { class: "top" }, title, close));
    if (n < 0) {
      dialog.append(make("p", {}, "No computer of this fleet is named " + name + "."));
    } else {
      dialog.append(...view(n));
    }
    if (!dialog.open) {
      dialog.showModal();
    }
    dialog.scrollTop = 0;
    dialog.dispatchEvent(new Event("toggle")); // page.js adds its buttons
  }

  function view(n) {
    const told = details(n), text = told ? teller(n) : null;
    const parts = [facts(n, told, text)];
    const numbers = all.methods.map((one, at) => at).sort((a, b) => (b === all.main) - (a === all.main) || a - b);
    for (const at of numbers) {
      parts.push(methodView(n, at, told, text));
    }
    if (told && told[4].length) {
      parts.push(make("h3", {}, "Other methods (not ruled out)"),
        make("ol", {}, ...told[4].map((one) => make("li", {}, all.methods[one][1]))));
    }
    if (!told) {
      parts.push(make("p", {}, "The page is limited in size. For the evidence, run:"));
    }
    parts.push(make("p", {}, told ? "As text: " : "", make("code", { class: "filter" }, "auditor render . --host " + quoted(all.names[n])),
      " (run it in the folder of this report)"));
    return parts;
  }

  function quoted(name) {
    return /^[\w.:-]+$/.test(name) ? name : '"' + name.replace(/["\\$`]/g, "\\$&") + '"';
  }

  function moment(time) {
    return time.replace("T", " ").replace(/\.0+(?=Z?$)/, "");
  }

  function facts(n, told, text) {
    const found = [];
    const add = (name, ...value) => found.push(make("dt", {}, name), make("dd", {}, ...value));
    const subnet = all.subnets[all.subnet[n]], site = all.sites[all.site[n]];
    add("address", all.addresses[n].split("\n").join(", ") || "unknown");
    if (subnet) {
      add("subnet", link(subnet, { subnet: subnet }));
    }
    if (site) {
      add("site", link(site, { site: site }));
    }
    if (told) {
      add("sources", told[0].length ? make("span", {}, ...told[0].flatMap((one) => [make("code", {}, text(one)), " "])) : "none readable");
      add("entries", told[1].toLocaleString("en") + (text(told[2]) ? ", " + moment(text(told[2])) + " to " + moment(text(told[3])) : ""));
      for (const one of told[5]) {
        add("warning", make("span", { class: "warning" }, text(one)));
      }
    }
    return make("dl", { class: "facts" }, ...found);
  }

  function methodView(n, at, told, text) {
    const [result, blamed, missing] = all.outcomes[all.outcome[n]][at];
    const kind = all.results[result], id = all.methods[at][0] + "/", why = reasons(n, at);
    const parts = [why ? make("p", { class: "why" }, why + ".") : ""];
    const names = new Set(blamed.map((one) => all.requirements[one]));
    parts.push(...(told ? told[7].filter((one) => one[0] === at) : []).map((one) => stepView(one, text)));
    const seen = told ? told[6].map((one) => [text(one[0]), one]).filter((one) => one[0].startsWith(id)) : [];
    seen.sort((a, b) => names.has(b[0]) - names.has(a[0]));
    parts.push(...seen.map(([name, one]) => requirement(name, one, text, names.has(name))));
    if (missing.length && kind !== "no-evidence") {
      parts.push(make("p", { class: "quiet" }, "Not observed: " + missing.map((one) => row(all.requirements[one])).join(", ")));
    }
    const heading = make("h3", {}, all.methods[at][1] + ": ", verdict(label(kind), STATES[kind]));
    if (at === all.main) {
      return make("section", {}, heading, ...parts);
    }
    return make("details", {}, make("summary", {}, heading), ...parts);
  }

  function requirement(name, one, text, blamed) {
    const [, necessity, fromRole, from, toRole, to, protocol, ports, verdictText, confidence, place, device, attempts, begin, end,
      explanation, remedy, problems, proofs, blocks] = one;
    const said = text(verdictText), fatal = problems.some((problem) => problem[1]);
    const kind = fatal || BAD.includes(said) ? "bad" : said === "open" || said === "allowed" ? "good" : said === "inconclusive" ? "unsure" : "untried";
    const judged = fatal ? said + ", but failed" : said + (text(confidence) === "likely" ? ", likely" : "");
    const port = text(protocol) === "icmp" ? "ICMP" : text(protocol).toUpperCase() + " " +
      (ports.slice(0, 4).join(", ") + (ports.length > 4 ? ", ..." : "") || "dynamic");
    const stopped = text(place) && text(place) !== "unknown" || text(device) ? at(text(place), text(device)) : "";
    const ends = text(fromRole) + " " + (text(from) || "?") + " → " + text(toRole) + " " + (text(to) || "?");
    const times = text(begin) ? ", " + moment(text(begin)) + (text(end) && text(end) !== text(begin) ? " to " + moment(text(end)) : "") : "";
    const tried = attempts.toLocaleString("en") + (attempts === 1 ? " attempt" : " attempts");
    return make("details", { class: "judged " + kind, open: blamed || kind === "bad" },
      make("summary", {}, row(name) + (text(necessity) === "informational" ? " (informational)" : "") + ": ", verdict(judged, kind)),
      make("p", { class: "quiet" }, port + ": " + ends + (stopped && kind === "bad" ? "; blocked" + stopped : "") + "; " + tried + times),
      make("p", {}, text(explanation)),
      ...blocks.map((block) => make("p", {}, "Also blocked: " + text(block))),
      ...problems.map((problem) => make("p", { class: problem[1] ? "problem" : "" }, (problem[1] ? "Problem: " : "Also: ") + text(problem[0]))),
      make("ul", { class: "proof" }, ...proofs.map((proof) => proofView(proof, text))),
      text(remedy) && kind === "bad" ? make("p", { class: "remedy" }, make("strong", {}, "Fix: "), text(remedy)) : "");
  }

  function stepView(one, text) {
    const [, fails, name, explanation, remedy, proofs] = one, kind = fails ? "bad" : "unsure";
    return make("details", { class: "judged " + kind, open: true },
      make("summary", {}, text(name) + ": ", verdict(fails ? "failed" : "ended", kind)),
      make("p", {}, text(explanation)),
      make("ul", { class: "proof" }, ...proofs.map((proof) => proofView(proof, text))),
      text(remedy) ? make("p", { class: "remedy" }, make("strong", {}, "Fix: "), text(remedy)) : "");
  }

  function proofView(proof, text) {
    const [path, lines, frames, filter, said] = proof;
    const numbers = frames.length ? frames : lines;
    const what = (frames.length ? "frame" : "line") + (numbers.length > 1 ? "s " : " ") + numbers.join(", ");
    return make("li", {}, "Evidence: ", make("code", {}, text(path)), numbers.length ? " " + what : "", text(said) ? ": " + text(said) : "",
      ...(text(filter) ? [". Display filter: ", make("code", { class: "filter" }, text(filter))] : []));
  }

  // all together

  function apply(to) {
    state = read("#" + written(to)); // without what is not set
    draw();
    if (state.host) {
      open(state.host);
    } else if (dialog.open) {
      dialog.close();
    }
  }

  function jump() {
    const section = document.getElementById("computers");
    section.scrollIntoView();
    section.focus({ preventScroll: true });
  }

  function follow(event, wanted) {
    const to = read("#" + wanted);
    if (to.host === undefined) {
      event.preventDefault();
      go(Object.assign(state.sort ? { sort: state.sort } : {}, to));
      jump();
    }
  }

  function equip(one) {
    if (one.namespaceURI.endsWith("svg")) {
      one.addEventListener("click", (event) => follow(event, one.dataset.show));
    } else {
      one.replaceWith(make("a", { href: "#" + one.dataset.show, click: (event) => follow(event, one.dataset.show) }, ...one.childNodes));
    }
  }

  document.querySelectorAll("[data-show]").forEach(equip);
  document.querySelectorAll(".needs-scripts").forEach((one) => { one.hidden = false; });
  dialog.addEventListener("close", () => {
    const open = state.host;
    if (open !== undefined) {
      state = Object.assign({}, state, { host: undefined });
      if (read(location.hash).host === open) {
        settle(state);
      }
    }
  });
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) {
      dialog.close(); // beside it
    } else if (event.target.closest("a") && event.target.closest("dl")) {
      setTimeout(jump); // its subnet or site
    }
  });
  window.addEventListener("hashchange", () => {
    const own = asked;
    asked = false;
    if (own || location.hash && !location.hash.includes("=")) {
      return; // done already, or a place in the page
    }
    const to = read(location.hash);
    apply(to);
    if (to.host === undefined && location.hash) {
      jump();
    }
  });
  const list = document.getElementById("list");
  list.append(
    make("div", { class: "controls" },
      make("label", { class: "search", for: "filter" }, "Name, address, subnet, site, requirement or result", input),
      all.methods.length > 1 ? make("label", {}, "Method", method) : "",
      make("label", { class: "sort" }, "Sort by", sort), chips),
    chosen,
    make("p", { class: "tally" }, tally, copy),
    table,
    make("nav", { class: "pager", "aria-label": "Pages of the list" }, before, place, after));
  list.hidden = false;
  const wanted = location.hash.includes("=") ? read(location.hash) : {};
  apply(wanted);
  if (location.hash.includes("=") && !wanted.host) {
    jump();
  }
})();
