// The popup, also the options page: the wallet's state, its cards, the switches.
import { ERROR, Failure } from "../shared/errors";
import type { Json } from "../shared/json";
import { isRegistered, register } from "../shared/registration";
import { parseAnswer } from "../shared/replies";
import { hostName, parseSettings, SETTINGS_KEY, typedHost, withHost, type Settings } from "../shared/settings";
import { diagnose, diagnoseError, imageUrl, parseCards, type Card, type Finding } from "./wallet";

function element<E extends HTMLElement>(id: string, type: new () => E): E {
  const found = document.getElementById(id);
  if (!(found instanceof type)) throw new Error(`the page has no ${id}`);
  return found;
}

function make(tag: string, className: string, words: string): HTMLElement {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = words;
  return made;
}

// --- the wallet

const port = chrome.runtime.connect({ name: "fwp-popup" });
const waiting = new Map<number, { resolve: (result: Json) => void; reject: (error: Error) => void }>();
let nextId = 1;

port.onMessage.addListener((message: unknown) => {
  const answer = parseAnswer(message);
  const one = waiting.get(answer.id);
  waiting.delete(answer.id);
  if ("error" in answer) one?.reject(new Failure(answer.error.name, answer.error.message));
  else one?.resolve(answer.result);
});
port.onDisconnect.addListener(() => {
  for (const one of waiting.values()) one.reject(new Failure(ERROR.gone, "The extension's background process has ended"));
  waiting.clear();
});

function ask(method: string, params: Readonly<Record<string, string>> = {}): Promise<Json> {
  const id = nextId;
  nextId += 1;
  return new Promise((resolve, reject) => {
    waiting.set(id, { resolve, reject });
    port.postMessage({ id, method, params });
  });
}

function showFindings(findings: readonly Finding[]): void {
  element("findings", HTMLUListElement).replaceChildren(
    ...findings.map(({ health, text }) => make("li", health, health === "ok" ? text : `${health}: ${text}`)),
  );
}

async function showCard(card: Card): Promise<HTMLLIElement> {
  const item = document.createElement("li");
  const words = document.createElement("div");
  words.append(make("span", "issuer", card.issuerId), make("span", "number", `${card.accountId} · ${card.paymentNetworkId}`));
  const image = document.createElement("img");
  // What the picture shows stands beside it.
  image.alt = "";
  try {
    image.src = imageUrl(await ask("cardImage", { card: card.card }));
    item.append(image);
  } catch {
    // A card without a face is a card all the same.
  }
  item.append(words);
  return item;
}

async function showWallet(): Promise<void> {
  try {
    showFindings(diagnose(await ask("status")));
    const cards = parseCards(await ask("listCards"));
    element("no-cards", HTMLParagraphElement).hidden = cards.length > 0;
    element("cards", HTMLUListElement).replaceChildren(...(await Promise.all(cards.map(showCard))));
  } catch (error) {
    showFindings([diagnoseError(error instanceof Failure ? error : { name: "", message: String(error) })]);
  }
}

// --- the switches

async function settings(): Promise<Settings> {
  return parseSettings((await chrome.storage.local.get(SETTINGS_KEY))[SETTINGS_KEY]);
}

async function change(how: (now: Settings) => Settings): Promise<void> {
  await chrome.storage.local.set({ [SETTINGS_KEY]: how(await settings()) });
  await showSwitches();
}

/** Host of the page that the popup was opened over, null where pages can't pay. */
async function currentHost(): Promise<string | null> {
  const [tab] = await chrome.tabs.query({ active: true, currentWindow: true });
  if (tab?.url === undefined) return null;
  const url = new URL(tab.url);
  return url.protocol === "https:" || url.protocol === "http:" ? hostName(url.hostname) : null;
}

/** Shows the switches; `data-ready` tells when the browser does as they say. */
async function showSwitches(): Promise<void> {
  document.body.dataset["ready"] = "false";
  const [now, host] = await Promise.all([settings(), currentHost()]);
  element("payments", HTMLInputElement).checked = now.enabled;
  element("mozpay", HTMLInputElement).checked = now.mozPay;
  element("site-row", HTMLParagraphElement).hidden = host === null;
  element("site-name", HTMLSpanElement).textContent = host ?? "";
  const site = element("site", HTMLInputElement);
  site.checked = host !== null && !now.offHosts.includes(host);
  site.disabled = !now.enabled;
  element("site-count", HTMLSpanElement).textContent = String(now.offHosts.length);
  element("site-list", HTMLUListElement).replaceChildren(...now.offHosts.map(offHost));
  for (let tries = 1; !(await isRegistered(await settings())); tries += 1) {
    await new Promise((resolve) => {
      setTimeout(resolve, 50);
    });
    // The background does it at each of its starts and after each change. Should it have failed: here is a person who waits.
    if (tries % 40 === 0) await register(await settings()).catch(() => undefined);
  }
  document.body.dataset["ready"] = "true";
}

function offHost(host: string): HTMLLIElement {
  const item = document.createElement("li");
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Allow again";
  button.setAttribute("aria-label", `Allow ${host} again`);
  button.addEventListener("click", () => void change((now) => withHost(now, host, true)));
  item.append(make("span", "", host), button);
  return item;
}

function whenSwitched(id: string, how: (now: Settings, on: boolean) => Settings | Promise<Settings>): void {
  const input = element(id, HTMLInputElement);
  input.addEventListener("change", () => {
    const on = input.checked;
    void settings()
      .then((now) => how(now, on))
      .then((next) => change(() => next));
  });
}

whenSwitched("payments", (now, enabled) => ({ ...now, enabled }));
whenSwitched("mozpay", (now, mozPay) => ({ ...now, mozPay }));
whenSwitched("site", async (now, on) => {
  const host = await currentHost();
  return host === null ? now : withHost(now, host, on);
});

element("site-form", HTMLFormElement).addEventListener("submit", (event) => {
  event.preventDefault();
  const input = element("site-add", HTMLInputElement);
  const host = typedHost(input.value);
  element("site-error", HTMLParagraphElement).textContent = host === null ? "This is not the name of a host." : "";
  if (host === null) return;
  input.value = "";
  void change((now) => withHost(now, host, false));
});

void showSwitches();
void showWallet();
