// Firefox: whether a site's TLS certificate holds, or the person has insisted on a wrong one. Only webRequest tells, so a site
// is asked for its headers, once for each payment or enrollment, without cookies; pages that don't pay cost nothing.
// (In Chromium the isolated world tells, see isolated/certificate.ts; this module is not used there.)

/** How long the site may take, in milliseconds. */
const TIME_LIMIT = 10_000;

/** The part of Firefox's SecurityInfo that is looked at. */
interface SecurityInfo {
  readonly state?: unknown;
  readonly isUntrusted?: unknown;
  readonly isDomainMismatch?: unknown;
  readonly isNotValidAtThisTime?: unknown;
  readonly overridableErrorCategory?: unknown;
}

/** Firefox's webRequest, as far as it is used. */
interface WebRequest {
  readonly onHeadersReceived: {
    addListener(listener: (details: { readonly requestId: string }) => Promise<object>, filter: object, extra: string[]): void;
    removeListener(listener: (details: { readonly requestId: string }) => Promise<object>): void;
  };
  getSecurityInfo(requestId: string, options: object): Promise<SecurityInfo>;
}

/** Whether a connection of this security is one without an exception made for it. */
export function isTrusted(info: SecurityInfo): boolean {
  return (
    (info.state === "secure" || info.state === "weak") &&
    info.isUntrusted !== true &&
    info.isDomainMismatch !== true &&
    info.isNotValidAtThisTime !== true &&
    info.overridableErrorCategory === undefined
  );
}

/** Whether the certificate of `origin` holds. What can't be found out counts as no. */
export async function originTrusted(origin: string): Promise<boolean> {
  if (!origin.startsWith("https:")) return true;
  const webRequest = (chrome as unknown as { readonly webRequest: WebRequest }).webRequest;
  const url = `${origin}/`;
  let trusted = false;
  const listener = async ({ requestId }: { readonly requestId: string }): Promise<object> => {
    trusted = isTrusted(await webRequest.getSecurityInfo(requestId, {}));
    return {};
  };
  // Match patterns have no ports; tabId -1 is what doesn't belong to a tab, as this request of ours.
  const filter = { urls: [`https://${new URL(origin).hostname}/*`], types: ["xmlhttprequest"], tabId: -1 };
  webRequest.onHeadersReceived.addListener(listener, filter, ["blocking"]);
  try {
    await fetch(url, {
      method: "HEAD",
      cache: "no-store",
      credentials: "omit",
      redirect: "manual",
      referrerPolicy: "no-referrer",
      signal: AbortSignal.timeout(TIME_LIMIT),
    });
    return trusted;
  } catch {
    return false;
  } finally {
    webRequest.onHeadersReceived.removeListener(listener);
  }
}
