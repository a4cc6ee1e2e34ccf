// Forms of the staff pages: sends what was typed as JSON, shows the lines that come back. Keeps nothing but who is at the desk.

// Longer than the gateway takes with a busy disk. A line that is dead answers nothing, for minutes.
const ANSWER_MS = 20000;

const by = document.getElementById("by");
by.value = sessionStorage.getItem("by") ?? "";
by.addEventListener("change", () => sessionStorage.setItem("by", by.value.trim()));

function typed(form) {
  const fields = { by: by.value.trim() };
  for (const input of form.elements) {
    if (input.name === "") continue;
    if (input.type === "checkbox") fields[input.name] = input.checked;
    else if (input.dataset.type === "boolean") fields[input.name] = input.value === "" ? null : input.value === "true";
    else if (input.dataset.type === "number") fields[input.name] = Number(input.value);
    else fields[input.name] = input.value;
  }
  return fields;
}

function show(output, lines) {
  output.replaceChildren(...lines.map((line) => {
    const paragraph = document.createElement("p");
    paragraph.textContent = line;
    return paragraph;
  }));
}

// Another way for the same fields: a button under the answer. The form stays filled in until it is taken.
function offer(form, output, { field, value, label, instead_of: insteadOf }) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "primary";
  button.textContent = label;
  button.addEventListener("click", () => {
    form.elements[field].value = value;
    // For this one sending only: whatever is typed next is about somebody else.
    const settles = form.elements.instead_of;
    if (settles) settles.value = insteadOf ?? "";
    form.requestSubmit();
    if (settles) settles.value = "";
  });
  output.append(button);
}

async function send(form) {
  const output = form.querySelector("output");
  const button = form.querySelector("button");
  button.disabled = true;
  output.replaceChildren();
  const lang = document.documentElement.lang;
  let told;
  try {
    const response = await fetch(`${form.dataset.post}?lang=${lang}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(typed(form)),
      signal: AbortSignal.timeout(ANSWER_MS),
    });
    told = await response.json();
    if (response.ok && "reload" in form.dataset) return location.reload();
    if (response.ok && !told.offer) form.reset();
  } catch {
    told = { lines: [document.documentElement.lang === "ja" ? "ゲートウェイから応答がありません。記録されたかどうかは、受付状況の一覧で確かめてから、もう一度お試しください。" : "The gateway did not answer. See the list of receptions whether it was recorded, then try again."] };
  }
  button.disabled = false;
  const failed = lang === "ja" ? "読み取れない項目があります。担当者と入力を確かめてください。" : "Something cannot be read: check your name and the fields.";
  show(output, told.lines ?? [failed]);
  if (told.offer) offer(form, output, told.offer);
  output.dataset.result = told.result ?? "failed";
  return undefined;
}

document.addEventListener("submit", (event) => {
  event.preventDefault();
  if (!by.reportValidity()) return;
  send(event.target);
});
