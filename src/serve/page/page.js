"use strict";

const find = (id) => document.getElementById(id);
// Kept as long as the page is open, and nowhere else.
let token = "";
let metadata = null;

async function ask(path, options = {}) {
  const headers = { ...options.headers };
  if (token) headers.Authorization = "Bearer " + token;
  const response = await fetch(path, { ...options, headers });
  const answer = await response.json();
  if (response.status === 401) find("token").hidden = false;
  if (!response.ok) throw new Error(answer.error);
  return answer;
}

function tell(text, isWrong = false) {
  find("told").textContent = text;
  find("told").className = isWrong ? "wrong" : "";
}

const guarded = (work) => (event) => {
  if (event) event.preventDefault();
  work(event).catch((error) => tell(error.message, true));
};

async function begin() {
  const models = await ask("v2/repository/index", { method: "POST" });
  find("token").hidden = true;
  tell("");
  find("model").replaceChildren(...models.map((model) => new Option(model.name, model.name)));
  await choose();
}

async function choose() {
  metadata = await ask("v2/models/" + find("model").value);
  find("version").textContent = "version " + metadata.versions[0];
  find("answer").hidden = true;
  find("shown").hidden = true;
  const form = find("asked");
  const fields = takesImages() ? [field("An image", "image", "file")] : metadata.inputs.map(columnField);
  if (writes()) fields.push(field("Tokens, at most", "max_tokens", "number"));
  const button = document.createElement("button");
  button.textContent = "Ask";
  form.replaceChildren(...fields, button);
}

// A table may have a column of any name.
const takesImages = () => metadata.inputs.some((input) => input.name === "pixels" && input.datatype === "UINT8");

// A model that goes on with texts gives under the name of what it takes.
const writes = () => metadata.outputs.some((output) => output.name === "text" && metadata.inputs[0].name === "text");

// Of a model of texts, which may be long; a table has columns of other kinds too.
const takesTexts = () => metadata.inputs.every((input) => /^(the )?text/.test(input.parameters.description));

function field(title, name, type) {
  const label = document.createElement("label");
  const input = document.createElement("input");
  input.type = type;
  input.name = name;
  if (type === "file") {
    input.accept = "image/*";
    input.required = true;
  }
  label.append(title, input);
  return label;
}

function columnField(input) {
  if (takesTexts()) {
    const label = document.createElement("label");
    const area = document.createElement("textarea");
    area.name = input.name;
    area.rows = 5;
    area.required = true;
    label.append(input.name, area);
    return label;
  }
  const label = field(input.name, input.name, "text");
  if (input.datatype !== "BYTES") label.querySelector("input").inputMode = "decimal";
  return label;
}

async function predict() {
  tell("");
  find("answer").hidden = true;
  const path = "v2/models/" + metadata.name + "/infer";
  const form = find("asked");
  let answer;
  if (takesImages()) {
    const file = form.elements.namedItem("image").files[0];
    const shown = find("shown");
    if (shown.src) URL.revokeObjectURL(shown.src);
    shown.src = URL.createObjectURL(file);
    shown.hidden = false;
    answer = await ask(path, { method: "POST", body: file, headers: { "Content-Type": file.type || "image/png" } });
  } else {
    const inputs = metadata.inputs.map((input) => ({
      name: input.name,
      shape: [1],
      datatype: "BYTES",
      data: [form.elements.namedItem(input.name).value],
    }));
    const parameters = {};
    if (writes()) parameters.max_tokens = Number(form.elements.namedItem("max_tokens").value) || 100;
    const body = JSON.stringify({ inputs, parameters });
    answer = await ask(path, { method: "POST", body, headers: { "Content-Type": "application/json" } });
  }
  show(answer);
}

function show(answer) {
  const rows = [];
  const row = (name, value, share) => {
    const line = document.createElement("tr");
    const cells = [name, "", value].map((text) => {
      const cell = document.createElement("td");
      cell.textContent = text;
      return cell;
    });
    if (share !== undefined) {
      const bar = document.createElement("meter");
      bar.value = share;
      cells[1].append(bar);
    }
    line.append(...cells);
    rows.push([share === undefined ? 2 : share, line]);
  };
  for (const output of answer.outputs) {
    const info = metadata.outputs.find((known) => known.name === output.name);
    const labels = info.parameters.labels;
    if (info.parameters.description.startsWith("the network's outputs")) continue;
    if (output.name === "entities") {
      const entities = JSON.parse(output.data[0]);
      if (!entities.length) row("nothing is found", "", undefined);
      entities.forEach((entity) => row(entity.text, entity.label, entity.probability));
      continue;
    }
    if (output.name === "embedding") {
      row("embedding", output.data.map((value) => value.toPrecision(3)).join(" "));
      continue;
    }
    const isShare = output.name === "probabilities";
    output.data.forEach((value, place) => {
      const name = labels ? labels[place] : output.name;
      const text = typeof value === "number" ? value.toPrecision(4) : String(value);
      row(isShare || !labels ? name : output.name + " " + name, text, isShare ? value : undefined);
    });
  }
  rows.sort((one, other) => other[0] - one[0]);
  find("answer").replaceChildren(...rows.map(([, line]) => line));
  find("answer").hidden = false;
  find("version").textContent = "version " + answer.model_version;
}

find("model").addEventListener("change", guarded(choose));
find("asked").addEventListener("submit", guarded(predict));
find("token").addEventListener("submit", guarded(async () => {
  token = find("token").querySelector("input").value;
  await begin();
}));
guarded(begin)();
