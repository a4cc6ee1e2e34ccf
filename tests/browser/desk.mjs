// A receptionist with a document that does not count any more, on the desk page and the staff page.
//
//   node desk.mjs BASE_URL
//
// Prints one line for each step; ends with 0 when every step came out, 1 with a sentence on stderr when one did not.

import { launch } from "./browser.mjs";

const base = process.argv[2];

class Failure extends Error {}

function expect(so, what) {
  if (!so) throw new Failure(what);
  console.log(what);
}

async function fill(desk, number) {
  await desk.fill("#by", "佐藤");
  const form = desk.locator("form[data-post='/staff/document']");
  await form.locator("[name=kind]").selectOption("eligibility_certificate");
  for (const [name, value] of [["insurer_number", "06123456"], ["symbol", "12"], ["number", number], ["birthdate", "19800102"], ["valid_until", "20240101"]]) {
    await form.locator(`[name=${name}]`).fill(value);
  }
  return form;
}

// Rows of patients who were not received come and go by themselves on the page that stays open.
const rows = (staff) => staff.locator("[data-settle]");
const until = (staff, count) => staff.waitForFunction((wanted) => document.querySelectorAll("[data-settle]").length === wanted, count, { timeout: 20_000 });

const browser = await launch();
try {
  const context = await browser.newContext();
  const [staff, desk] = [await context.newPage(), await context.newPage()];
  await staff.goto(`${base}/staff`);
  await desk.goto(`${base}/staff/desk`);

  let form = await fill(desk, "345");
  await form.locator("button").first().click();
  expect((await form.locator("output").textContent()) === "", "nobody is recorded as having refused who was not asked");
  await form.locator("[name=limit_certificate]").selectOption("false");
  await form.locator("button").first().click();
  const offer = form.locator("output button");
  await offer.waitFor();
  await until(staff, 1);
  expect(true, "the patient whose document does not count is on the list");
  await offer.click();
  await desk.waitForFunction(() => document.querySelector("form[data-post='/staff/document'] output").dataset.result === "received");
  await until(staff, 0);
  expect(true, "and leaves it once received in the other way");
  expect((await form.locator("[name=instead_of]").inputValue()) === "", "what is typed next is about somebody else");

  form = await fill(desk, "346");
  await form.locator("[name=limit_certificate]").selectOption("true");
  await form.locator("button").first().click();
  await until(staff, 1);
  await rows(staff).first().click();
  expect((await staff.locator("#told").textContent()).includes("担当者"), "who has seen to it goes into the record");
  expect((await rows(staff).count()) === 1, "nothing is settled without a name");
  await staff.fill("#by", "鈴木");
  await rows(staff).first().click();
  await until(staff, 0);
  expect(true, "a row that staff have seen to leaves the list");
} catch (error) {
  console.error(error instanceof Failure ? error.message : String(error));
  process.exitCode = 1;
} finally {
  await browser.close();
}
