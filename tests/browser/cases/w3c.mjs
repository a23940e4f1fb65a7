// The table of the W3C's cases (w3c-table.mjs): each in the page's world, and where Chromium's own class has it, there too.

import { cases as table, context } from "./w3c-table.mjs";

/** What the person does, for a word of a case's needs. */
const ANSWERS = { approve: "yes", decline: "no", hold: "never" };

/** Not the Space Shop's host: the table's order number is that of its first order, and a wallet remembers with which card it was paid. */
const page = (t) => t.pages.on("shop.example");

/** Runs one case in a tab: at once, or behind a click. */
async function verdict(t, tab, one, which, gesture) {
  if (!gesture) return tab.evaluate(`(${one.run})((${context})(${JSON.stringify(which)}))`);
  await tab.act(new Function(`return (${one.run})((${context})(${JSON.stringify(which)}))`));
  const { value, error } = await tab.ended();
  if (error) throw new Error(`${error.name}: ${error.message}`);
  return value;
}

async function run(t, one, state) {
  const gesture = one.needs.includes("gesture");
  t.person.begin(...one.needs.filter((need) => need in ANSWERS).map((need) => ANSWERS[need]));
  // Without a gesture all run in one page, one after the other; a click gets a page of its own.
  const tab = gesture ? await t.tab(page(t)) : await state.page();
  t.assert.deepEqual(await verdict(t, tab, one, "fwp", gesture), one.expect);
  if (!one.needs.some((need) => need in ANSWERS)) t.assert.deepEqual(t.person.of("authorize"), []);
  if (!one.nativeComparable) return;
  // Through the extension's class, and through Chromium's own where there is one.
  const given = await verdict(t, gesture ? await t.tab(page(t)) : tab, one, "native", gesture);
  t.assert.deepEqual(given, one.expect, "with a URL method");
  if (t.name !== "chromium") return;
  const bare = gesture ? await t.tab(page(t), await t.bare()) : await state.bare();
  t.assert.deepEqual(await verdict(t, bare, one, "native", gesture), one.expect, "Chromium's own class");
}

export async function before(t) {
  const [kept, keptBare] = [await t.browser.open(page(t)), await t.bareTab(page(t))];
  return { page: async () => (await kept.front(), kept), bare: async () => keptBare };
}

export const cases = table.map((one) => ({
  name: `W3C: ${one.name}`,
  only: one.only,
  reason: one.reason,
  run: (t, state) => run(t, one, state),
}));
