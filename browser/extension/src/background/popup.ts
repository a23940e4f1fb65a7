// The popup's requests: what the wallet is and has. Only the extension's own pages may ask.
import { ERROR, Failure } from "../shared/errors";
import { Malformed, type Json } from "../shared/json";
import type { Answer } from "../shared/replies";
import { idOf, parsePopupRequest } from "../shared/requests";
import type { Host } from "./broker";
import type { Sender } from "./origin";

/** Whether a message's sender is a page of this extension: content scripts have the origin of their web page. */
export function isOwnPage(sender: Sender | undefined, own: { readonly id: string; readonly origin: string }): boolean {
  return sender?.id === own.id && sender.origin === own.origin;
}

/** Answers one request of the popup. */
export async function answerPopup(host: Host, message: unknown): Promise<Answer | null> {
  const id = idOf(message);
  if (id === null) return null;
  try {
    const { method, params } = parsePopupRequest(message);
    const result: Json = await host.request(method, params);
    return { id, result };
  } catch (error) {
    if (error instanceof Failure) return { id, error: error.wire };
    const words = error instanceof Malformed ? error.message : "the extension failed";
    return { id, error: { name: ERROR.invalidMessage, message: words } };
  } finally {
    host.settle();
  }
}
