// Grades live in `state` and in localStorage; everything on the page is drawn from them by `draw`.
const data = JSON.parse(document.getElementById("data").textContent);
const { rows, grades, columns } = data;
const TOP = grades.length - 1;
const KEY = `angle-adapt-review:${data.file}`;
const GUARD = new RegExp(data.guard, "gu");
const NOTHING = { grade: null, note: "", skipped: false };
const part = (id) => document.getElementById(id);
const buttons = [...document.querySelectorAll("#grades button")];

let state = restored();

function fresh() {
  const answers = {};
  rows.forEach((row, index) => {
    if (row.score !== null || row.note) answers[index] = { ...NOTHING, grade: row.score, note: row.note };
  });
  return { at: 0, reviewer: "", show: false, answers };
}

// What is kept may be damaged or another program's: only what can be an answer is taken.
function restored() {
  const found = fresh();
  let kept = null;
  try {
    kept = JSON.parse(localStorage.getItem(KEY));
  } catch {
    return found;
  }
  if (kept === null || typeof kept !== "object") return found;
  if (Number.isInteger(kept.at)) found.at = Math.min(Math.max(kept.at, 0), rows.length);
  if (typeof kept.reviewer === "string") found.reviewer = kept.reviewer;
  found.show = kept.show === true;
  for (const [index, answer] of Object.entries(kept.answers ?? {})) {
    if (!(index in rows) || answer === null || typeof answer !== "object") continue;
    const { grade, note, skipped } = answer;
    const usable = typeof grade === "number" && grade >= 0 && grade <= TOP;
    found.answers[index] = {
      grade: usable ? grade : null,
      note: typeof note === "string" ? note : "",
      skipped: skipped === true && !usable,
    };
  }
  return found;
}

function keep() {
  try {
    localStorage.setItem(KEY, JSON.stringify(state));
    part("warning").hidden = true;
  } catch {
    part("warning").textContent = "This browser does not keep your grades: download them before you close the page.";
    part("warning").hidden = false;
  }
}

const answer = (index = state.at) => state.answers[index] ?? NOTHING;
const seen = (index) => answer(index).grade !== null || answer(index).skipped;

function change(values, said = "") {
  state.answers[state.at] = { ...answer(), ...values };
  part("status").textContent = said;
  keep();
}

function go(index) {
  state.at = Math.min(Math.max(index, 0), rows.length);
  keep();
  draw();
  scrollTo(0, 0);
  if (state.at === rows.length) part("end-title").focus();
}

function grade(value) {
  if (state.at === rows.length) return;
  const before = answer().grade;
  const was = before === null || before === value ? "" : `, was ${before}`;
  change({ grade: value, skipped: false }, `Pair ${state.at + 1}: grade ${value}${was}`);
  go(state.at + 1);
}

const ACTIONS = {
  back: () => go(state.at - 1),
  next: () => go(state.at + 1),
  open: () => {
    const left = [...rows.keys()].filter((index) => !seen(index));
    if (left.length) go(left.find((index) => index > state.at) ?? left[0]);
    else go(rows.length);
  },
  skip: () => {
    if (state.at === rows.length) return;
    change({ grade: null, skipped: true }, `Pair ${state.at + 1}: skipped`);
    go(state.at + 1);
  },
  note: () => part("note").focus(),
  show: () => {
    state.show = !state.show;
    keep();
    draw();
  },
  help: () => part("help").showModal(),
};
const KEYS = {
  ArrowLeft: "back", Backspace: "back", ArrowRight: "next", o: "open", s: "skip", n: "note", a: "show", "?": "help",
};

function element(name, text, ...classes) {
  const made = document.createElement(name);
  made.textContent = text;
  made.classList.add(...classes);
  return made;
}

function opinion(name, value, ...classes) {
  const item = element("li", "", ...classes);
  const bar = element("i", "");
  bar.style.width = `${(100 * (value ?? 0)) / TOP}%`;
  const track = element("div", "", "track");
  track.append(bar);
  item.append(element("span", name), element("b", value === null ? "no score" : String(Math.round(10 * value) / 10)), track);
  return item;
}

function drawSaid() {
  const visible = state.show || answer().grade !== null;
  const said = rows[state.at].said;
  const list = said.map(([name, score]) => opinion(name, score === null ? null : score * TOP));
  if (visible && list.length && answer().grade !== null) list.unshift(opinion("You", answer().grade, "yours"));
  part("said").replaceChildren(...(visible ? list : []));
  part("said-hidden").hidden = visible && list.length > 0;
  part("said-hidden").textContent = list.length
    ? "Hidden until you have graded the pair, so that it does not sway you."
    : "Nothing was written down for this pair.";
  part("show").setAttribute("aria-pressed", state.show);
}

function drawPair() {
  rows[state.at].texts.forEach((parts, side) => {
    part(`text-${side}`).replaceChildren(
      ...parts.map((text, index) => (index % 2 ? element("mark", text) : document.createTextNode(text))),
    );
  });
  for (const button of buttons) {
    button.setAttribute("aria-pressed", Number(button.dataset.grade) === answer().grade);
  }
  if (document.activeElement !== part("note")) part("note").value = answer().note;
  drawSaid();
}

function draw() {
  const all = [...rows.keys()];
  const graded = all.filter((index) => answer(index).grade !== null).length;
  const skipped = all.filter((index) => answer(index).skipped).length;
  const left = rows.length - graded - skipped;
  const counts = `${graded} graded${skipped ? ` · ${skipped} skipped` : ""} · ${left} open`;
  const ended = state.at === rows.length;
  part("counts").textContent = counts;
  part("progress").max = rows.length || 1;
  part("progress").value = graded + skipped;
  part("where").textContent = ended ? "" : `Pair ${state.at + 1} of ${rows.length}`;
  for (const id of ["pair", "desk"]) part(id).hidden = ended;
  part("end").hidden = !ended;
  part("end-title").textContent = left ? "That was the last pair" : "Every pair is done";
  part("end-counts").textContent = `${counts}. Download your grades and send the file back.`;
  document.querySelectorAll("[data-act=open]").forEach((button) => (button.disabled = left === 0));
  document.querySelectorAll("[data-act=back]").forEach((button) => (button.disabled = state.at === 0));
  if (!ended) drawPair();
}

function reviewed() {
  return rows.flatMap((row, index) => {
    const { grade: score, note } = answer(index);
    if (score === null && !note) return [];
    const [sentence1, sentence2] = row.texts.map((parts) => parts.join(""));
    return [{ pair_id: row.id, sentence1, sentence2, score, note, reviewer: state.reviewer.trim() }];
  });
}

const guarded = (text) => text.replace(GUARD, "'");
const quoted = (cells) => `${cells.map((cell) => `"${cell.replaceAll('"', '""')}"`).join(",")}\n`;

function asCsv(found) {
  const lines = found.map((row) =>
    quoted(columns.map((name) => {
      if (name === "pair_id") return `#${row.pair_id}`;
      if (name === "score") return row.score === null ? "" : String(row.score);
      return guarded(row[name]);
    })),
  );
  return `\ufeff${quoted(columns)}${lines.join("")}`;
}

function download(text, kind, type) {
  const link = document.createElement("a");
  const who = state.reviewer.trim().match(/[\p{L}\p{N}]+/gu)?.join("-");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = `review-${data.file.slice(0, 8)}${who ? `-${who}` : ""}.${kind}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

function save(kind) {
  const found = reviewed();
  if (kind === "csv") download(asCsv(found), kind, "text/csv");
  else download(found.map((row) => `${JSON.stringify(row)}\n`).join(""), kind, "application/x-ndjson");
  const count = found.filter((row) => row.score !== null).length;
  part("status").textContent = `Downloaded ${count} grade${count === 1 ? "" : "s"}`;
}

// The keyboards on which digits need Shift give the digit by its place on the keyboard.
function digit(event) {
  if (/^\d$/.test(event.key)) return Number(event.key);
  const place = /^Digit(\d)$/.exec(event.code);
  return place && !event.shiftKey ? Number(place[1]) : null;
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || part("help").open) return;
  if (event.target.matches("input, textarea")) {
    if (event.key !== "Escape" && (event.key !== "Enter" || event.shiftKey)) return;
    event.preventDefault();
    event.target.blur();
    return;
  }
  const value = digit(event);
  const act = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (value === null ? !act : value > TOP) return;
  event.preventDefault();
  const moves = act === "back" || act === "next";
  if (event.repeat && !moves) return; // a key held down is one grade
  if (value === null) ACTIONS[act]();
  else grade(value);
});
buttons.forEach((button) => button.addEventListener("click", () => grade(Number(button.dataset.grade))));
document.querySelectorAll("[data-act]").forEach((button) => {
  button.addEventListener("click", () => ACTIONS[button.dataset.act]());
});
part("help-open").addEventListener("click", ACTIONS.help);
part("save-jsonl").addEventListener("click", () => save("jsonl"));
part("save-csv").addEventListener("click", () => save("csv"));
part("note").addEventListener("input", () => change({ note: part("note").value }));
part("reviewer").addEventListener("input", () => {
  state.reviewer = part("reviewer").value;
  keep();
});
// Another tab on the same file wrote: its grades count here too.
addEventListener("storage", (event) => {
  if (event.key !== KEY) return;
  state = { ...restored(), at: state.at };
  draw();
});

part("reviewer").value = state.reviewer;
keep();
draw();
