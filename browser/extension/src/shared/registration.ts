// Which scripts run where. They are registered, not in the manifest, so that "off" means that nothing of ours runs in a page:
// a script of the manifest can't know a switch before the page's own scripts look for PaymentRequest.
// Both browsers keep registered scripts over a restart and put them in before the first page (README.md tells how that was
// tried); an update of the extension may drop them, so every start of the background compares and repairs.
import type { Settings } from "./settings";

/** A script as it should be registered. */
export interface Wanted {
  readonly id: string;
  readonly js: readonly string[];
  readonly matches: readonly string[];
  readonly excludeMatches: readonly string[];
  readonly world: "MAIN" | "ISOLATED";
}

/** The scripts that `settings` ask for on pages that match `matches`. */
export function wanted(settings: Settings, matches: readonly string[]): readonly Wanted[] {
  if (!settings.enabled) return [];
  const excludeMatches = settings.offHosts.map((host) => `*://${host}/*`);
  return [
    { id: "isolated", js: ["isolated.js"], matches, excludeMatches, world: "ISOLATED" },
    { id: "page", js: [settings.mozPay ? "page-mozpay.js" : "page.js"], matches, excludeMatches, world: "MAIN" },
  ];
}

/** A script as the browser says it is registered. */
export interface Registered {
  readonly id: string;
  readonly js?: readonly string[] | undefined;
  readonly matches?: readonly string[] | undefined;
  readonly excludeMatches?: readonly string[] | undefined;
  readonly world?: string | undefined;
}

function sameList(one: readonly string[] | undefined, other: readonly string[]): boolean {
  const sorted = [...(one ?? [])].sort();
  return sorted.length === other.length && [...other].sort().every((item, index) => item === sorted[index]);
}

/** Whether what is registered is what is wanted. Browsers write script paths with or without a leading slash. */
export function isAsWanted(registered: readonly Registered[], want: readonly Wanted[]): boolean {
  return (
    registered.length === want.length &&
    want.every((one) => {
      const found = registered.find(({ id }) => id === one.id);
      return (
        found?.world === one.world &&
        sameList(found.matches, one.matches) &&
        sameList(found.excludeMatches, one.excludeMatches) &&
        sameList(
          found.js?.map((path) => path.replace(/^\//, "")),
          one.js,
        )
      );
    })
  );
}

/** Whether the browser has registered what `settings` ask for. */
export async function isRegistered(settings: Settings): Promise<boolean> {
  return isAsWanted(await chrome.scripting.getRegisteredContentScripts(), wanted(settings, __MATCHES__));
}

/** Makes what is registered what is wanted. */
export async function register(settings: Settings): Promise<void> {
  const want = wanted(settings, __MATCHES__);
  const registered = await chrome.scripting.getRegisteredContentScripts();
  if (isAsWanted(registered, want)) return;
  if (registered.length > 0) await chrome.scripting.unregisterContentScripts({ ids: registered.map(({ id }) => id) });
  if (want.length === 0) return;
  await chrome.scripting.registerContentScripts(
    want.map(({ id, js, matches, excludeMatches, world }) => ({
      id,
      js: [...js],
      matches: [...matches],
      ...(excludeMatches.length === 0 ? {} : { excludeMatches: [...excludeMatches] }),
      world,
      allFrames: true,
      runAt: "document_start" as const,
      persistAcrossSessions: true,
    })),
  );
}
