"use strict";
document.documentElement.classList.add("js");

const csvOf = (key) => JSON.parse(document.getElementById(`csv-${key}`).textContent);

/* ---- The violations' filter ---- */
for (const form of document.querySelectorAll("form.filter")) {
  const rows = [...document.querySelectorAll(`#${form.dataset.table} tbody tr`)];
  const texts = rows.map((row) => row.textContent.toLowerCase());
  const apply = () => {
    const words = form.elements.words.value.toLowerCase().split(/\s+/).filter(Boolean);
    const kind = form.elements.kind.value;
    let shown = 0;
    rows.forEach((row, i) => {
      const fits = (!kind || row.dataset.kind === kind) && words.every((word) => texts[i].includes(word));
      row.hidden = !fits;
      shown += fits;
    });
    form.querySelector("output").textContent = `${shown} of ${rows.length} shown`;
  };
  form.addEventListener("input", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
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
