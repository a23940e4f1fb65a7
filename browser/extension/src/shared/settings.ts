// What the person has switched: kept in storage.local, read by the background, changed by the popup.

/** The switches. */
export interface Settings {
  /** Whether pages are offered the wallet at all. */
  readonly enabled: boolean;
  /** Hosts that are not offered it. */
  readonly offHosts: readonly string[];
  /** Whether pages get `navigator.mozPay`. Off unless the person switches it on. */
  readonly mozPay: boolean;
}

/** Before anything was switched. */
export const DEFAULTS: Settings = { enabled: true, offHosts: [], mozPay: false };

/** Key of the settings in storage.local. */
export const SETTINGS_KEY = "settings";

/** Most hosts in the list. */
export const OFF_HOSTS_LIMIT = 1000;

/** A host as `URL.hostname` writes it, or null: letters, digits, hyphens and dots, or a bracketed IPv6 address. */
export function hostName(value: unknown): string | null {
  if (typeof value !== "string" || value.length > 255) return null;
  return /^(?:[a-z0-9_-]+(?:\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])$/.test(value) ? value : null;
}

/** The host that a person typed, a whole address or in any spelling (`Bücher.example`), or null. */
export function typedHost(typed: string): string | null {
  const trimmed = typed.trim();
  if (trimmed === "") return null;
  try {
    return hostName(new URL(trimmed.includes("://") ? trimmed : `https://${trimmed}`).hostname);
  } catch {
    return null;
  }
}

/** Reads stored settings; what is not understood is as if it was never switched. */
export function parseSettings(value: unknown): Settings {
  if (typeof value !== "object" || value === null) return DEFAULTS;
  const stored = value as Readonly<Record<string, unknown>>;
  const { enabled, mozPay, offHosts } = stored;
  const hosts = Array.isArray(offHosts) ? offHosts.map(hostName).filter((host) => host !== null) : [];
  return {
    enabled: typeof enabled === "boolean" ? enabled : DEFAULTS.enabled,
    offHosts: [...new Set(hosts)].slice(0, OFF_HOSTS_LIMIT).sort(),
    mozPay: typeof mozPay === "boolean" ? mozPay : DEFAULTS.mozPay,
  };
}

/** Why the wallet is switched off for a page of `host`, or null. */
export function switchedOff(settings: Settings, host: string): string | null {
  if (!settings.enabled) return "FIDO Web Pay is switched off in this browser";
  return settings.offHosts.includes(host) ? "FIDO Web Pay is switched off for this site" : null;
}

/** The settings with `host` switched on or off. */
export function withHost(settings: Settings, host: string, on: boolean): Settings {
  const others = settings.offHosts.filter((other) => other !== host);
  return parseSettings({ ...settings, offHosts: on ? others : [...others, host] });
}
