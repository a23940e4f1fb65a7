// Background: a service worker in Chromium, an event page in Firefox. Both are stopped and started as the browser likes:
// nothing is kept here that must outlive an open native port.
import { register } from "../shared/registration";
import { idOf } from "../shared/requests";
import { SETTINGS_KEY, type Settings } from "../shared/settings";
import { asWire, Broker, type FramePort } from "./broker";
import { browserName, native, network, readSettings } from "./browser";
import { originTrusted } from "./certificate";
import { HostLink } from "./link";
import { fillOpenPages } from "./open-pages";
import { askerOf } from "./origin";
import { answerPopup, isOwnPage } from "./popup";

const own = { id: chrome.runtime.id, origin: new URL(chrome.runtime.getURL("")).origin };

let settings: Promise<Settings> | null = null;

function currentSettings(): Promise<Settings> {
  settings ??= readSettings().catch((error: unknown) => {
    settings = null;
    throw error;
  });
  return settings;
}

const link: HostLink = new HostLink(native, browserName, {
  event: (event) => {
    broker.event(event);
  },
  gone: (error) => {
    broker.gone(error);
  },
  busy: () => broker.busy,
});

const broker = new Broker(link, network, currentSettings, (origin) =>
  __BROWSER__ === "firefox" ? originTrusted(origin) : Promise.resolve(true),
);

/** One after another: two registrations at a time would meet. */
let registering: Promise<void> = Promise.resolve();

function registerAgain(): Promise<void> {
  registering = registering.catch(() => undefined).then(async () => {
    await register(await currentSettings());
    await fillOpenPages(await currentSettings());
  });
  return registering;
}

chrome.runtime.onConnect.addListener((port) => {
  if (port.name === "fwp-popup") {
    if (!isOwnPage(port.sender, own)) {
      port.disconnect();
      return;
    }
    port.onMessage.addListener((message: unknown) => {
      void answerPopup(link, message).then((answer) => {
        if (answer !== null) port.postMessage(answer);
      });
    });
    return;
  }
  connectFrame(port);
});

function connectFrame(port: chrome.runtime.Port): void {
  let frame: FramePort;
  try {
    frame = {
      ...askerOf(port.sender, own.id),
      send: (message) => {
        port.postMessage(message);
      },
    };
  } catch (error) {
    // Answered, not only closed: the page is to be told why.
    port.onMessage.addListener((message: unknown) => {
      const id = idOf(message);
      if (id !== null) port.postMessage({ id, error: asWire(error) });
    });
    return;
  }
  broker.connected(frame);
  port.onMessage.addListener((message: unknown) => {
    void broker.received(frame, message);
  });
  port.onDisconnect.addListener(() => {
    broker.disconnected(frame);
  });
}

chrome.storage.local.onChanged.addListener((changes) => {
  if (!(SETTINGS_KEY in changes)) return;
  settings = null;
  void registerAgain();
});

// Each of these is a start: what is registered is compared with the settings.
chrome.runtime.onInstalled.addListener(() => void registerAgain());
chrome.runtime.onStartup.addListener(() => void registerAgain());
void registerAgain();
