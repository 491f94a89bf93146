"use strict";
document.documentElement.classList.add("js");

const csvOf = (key) => JSON.parse(document.getElementById(`csv-${key}`).textContent);

/* ---- The violations' filter: all that the page holds are looked through, the first of those that fit are shown ---- */
const MOST_SHOWN = 100;

/* Column by column each text once, and for each row which. */
function linesOf(columns) {
  const labels = Object.keys(columns);
  return columns[labels[0]].rows.map((_, row) => labels.map((label) => columns[label].words[columns[label].rows[row]]));
}

for (const form of document.querySelectorAll("form.filter")) {
  const body = document.querySelector(`#${form.dataset.table} tbody`);
  const unfiltered = [...body.rows];
  const lines = linesOf(JSON.parse(document.getElementById(`${form.dataset.table}-data`).textContent));
  const texts = lines.map((line) => line.join(" ").toLowerCase());
  const rowOf = (line) => {
    const row = unfiltered[0].cloneNode(true);
    line.forEach((words, at) => (row.cells[at].firstElementChild.textContent = words));
    return row;
  };
  const apply = () => {
    const words = form.elements.words.value.toLowerCase().split(/\s+/).filter(Boolean);
    const kind = form.elements.kind.value;
    const fitting = lines.filter((line, i) => (!kind || line[0] === kind) && words.every((word) => texts[i].includes(word)));
    const rows = fitting.length === lines.length ? unfiltered : fitting.slice(0, MOST_SHOWN).map(rowOf);
    body.replaceChildren(...rows);
    const many = (count) => count.toLocaleString("en");
    form.querySelector("output").textContent = `${many(fitting.length)} of ${many(lines.length)} match` + (rows.length < fitting.length ? `, ${rows.length} shown` : "");
  };
  form.addEventListener("input", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.reset();
  apply();
}

/* ---- Data of a picture, as a table once it is asked for ---- */
const MOST_ROWS = 500;

/* RFC 4180: quoted fields may hold commas, quotes and line ends. */
function parseCsv(text) {
  const rows = [[]];
  const field = /("(?:[^"]|"")*"|[^,\n]*)(,|\n|$)/y;
  while (field.lastIndex < text.length) {
    const [, value, end] = field.exec(text);
    rows.at(-1).push(value.startsWith('"') ? value.slice(1, -1).replaceAll('""', '"') : value);
    if (end === "\n" && field.lastIndex < text.length) rows.push([]);
  }
  return rows;
}

function tableOf(rows) {
  const table = document.createElement("table");
  const put = (parent, tag, cells) => {
    const line = parent.insertRow();
    for (const cell of cells) {
      const item = document.createElement(tag);
      item.textContent = cell;
      line.append(item);
    }
  };
  put(table.createTHead(), "th", rows[0]);
  const body = table.createTBody();
  for (const row of rows.slice(1, MOST_ROWS + 1)) put(body, "td", row);
  return table;
}

for (const details of document.querySelectorAll("details[data-csv]"))
  details.addEventListener("toggle", () => {
    const place = details.querySelector(".table");
    if (!details.open || place.childElementCount) return;
    const rows = parseCsv(csvOf(details.dataset.csv));
    place.append(tableOf(rows));
    if (rows.length - 1 > MOST_ROWS) place.append(`The first ${MOST_ROWS} of ${rows.length - 1} rows; the CSV has all.`);
  });

/* ---- On paper nothing can be opened ---- */
addEventListener("beforeprint", () => document.querySelectorAll("details.printed").forEach((details) => (details.open = true)));

/* ---- Downloads ---- */
function save(name, blob) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

/* The picture by itself, with this page's colours and fonts in place of its variables. */
function standalone(figure) {
  const svg = figure.querySelector(".plot.wide svg").cloneNode(true);
  const [, , width, height] = svg.getAttribute("viewBox").split(" ").map(Number);
  svg.setAttribute("width", width);
  svg.setAttribute("height", height);
  const colours = getComputedStyle(document.documentElement);
  const text = new XMLSerializer().serializeToString(svg);
  const style = `<style>*{stroke-linejoin:round;stroke-linecap:butt}text{font-family:system-ui,sans-serif!important}</style>` +
    `<rect width="100%" height="100%" fill="${colours.getPropertyValue("--paper").trim()}"/>`;
  return { width, height, text: text.replace(/var\((--\w+)\)/g, (_, name) => colours.getPropertyValue(name).trim()).replace(/(<svg[^>]*>)/, `$1${style}`) };
}

function savePng(name, figure) {
  const { width, height, text } = standalone(figure);
  const image = new Image();
  image.onload = () => {
    const canvas = document.createElement("canvas");
    canvas.width = width * 2;
    canvas.height = height * 2;
    canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
    URL.revokeObjectURL(image.src);
    canvas.toBlob((blob) => save(name, blob));
  };
  image.src = URL.createObjectURL(new Blob([text], { type: "image/svg+xml" }));
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-save]");
  if (!button) return;
  const figure = button.closest("figure");
  const name = `${figure.id}.${button.dataset.save}`;
  if (button.dataset.save === "csv") save(name, new Blob([csvOf(figure.id)], { type: "text/csv" }));
  else if (button.dataset.save === "svg") save(name, new Blob([standalone(figure).text], { type: "image/svg+xml" }));
  else savePng(name, figure);
});
