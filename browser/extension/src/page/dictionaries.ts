// The dictionaries of Payment Request, converted as Web IDL says: inherited members first, then by name, each read once.
//
// Two members keep what the page wrote besides: `label` of the total, because FIDO Web Pay wants it to be null and
// DOMString would make the string "null" of it, and whether displayItems and modifiers are there at all.
import { typeError } from "./errors";
import type { List } from "./primordials";
import { checkDictionary, member, optionalObject, requiredString, toDOMString, toSequence } from "./webidl";

/** `PaymentMethodData`. */
export interface MethodData {
  readonly data: object | undefined;
  readonly supportedMethods: string;
}

/** `PaymentCurrencyAmount`. */
export interface CurrencyAmount {
  readonly currency: string;
  readonly value: string;
}

/** `PaymentItem`. */
export interface Item {
  readonly amount: CurrencyAmount;
  readonly label: string;
  /** The page's own value of `label`. */
  readonly rawLabel: unknown;
}

/** `PaymentDetailsModifier`. */
export interface Modifier {
  readonly additionalDisplayItems: List<Item> | undefined;
  readonly data: object | undefined;
  readonly supportedMethods: string;
  readonly total: Item | undefined;
}

/** `PaymentDetailsBase`. */
interface DetailsBase {
  readonly displayItems: List<Item> | undefined;
  readonly modifiers: List<Modifier> | undefined;
}

/** `PaymentDetailsInit`. */
export interface DetailsInit extends DetailsBase {
  readonly id: string | undefined;
  readonly total: Item;
}

/** `PaymentDetailsUpdate`, without the members that are about shipping and the payer. */
export interface DetailsUpdate extends DetailsBase {
  readonly total: Item | undefined;
}

/** `sequence<PaymentMethodData>`. */
export function toMethodDataList(value: unknown): List<MethodData> {
  return toSequence(value, "methodData", (entry, index) => {
    const what = `methodData[${index}]`;
    checkDictionary(entry, what);
    return {
      data: optionalObject(member(entry, "data"), `${what}.data`),
      supportedMethods: requiredString(member(entry, "supportedMethods"), `${what}.supportedMethods`),
    };
  });
}

/** `PaymentDetailsInit`. */
export function toDetailsInit(value: unknown): DetailsInit {
  checkDictionary(value, "details");
  const base = toDetailsBase(value);
  const id = member(value, "id");
  const idText = id === undefined ? undefined : toDOMString(id);
  const total = member(value, "total");
  if (total === undefined) {
    throw typeError("required member details.total is undefined.");
  }
  return { ...base, id: idText, total: toItem(total, "details.total") };
}

/** `PaymentDetailsUpdate`. */
export function toDetailsUpdate(value: unknown): DetailsUpdate {
  checkDictionary(value, "details");
  const base = toDetailsBase(value);
  const error = member(value, "error");
  if (error !== undefined) {
    toDOMString(error); // converted, so that it throws where it must; there is no sheet to show it on
  }
  optionalObject(member(value, "paymentMethodErrors"), "details.paymentMethodErrors");
  const total = member(value, "total");
  return { ...base, total: total === undefined ? undefined : toItem(total, "details.total") };
}

function toDetailsBase(value: unknown): DetailsBase {
  const displayItems = member(value, "displayItems");
  const items =
    displayItems === undefined
      ? undefined
      : toSequence(displayItems, "details.displayItems", (item, index) => toItem(item, `details.displayItems[${index}]`));
  const modifiers = member(value, "modifiers");
  return {
    displayItems: items,
    modifiers:
      modifiers === undefined
        ? undefined
        : toSequence(modifiers, "details.modifiers", (item, index) => toModifier(item, `details.modifiers[${index}]`)),
  };
}

function toModifier(value: unknown, what: string): Modifier {
  checkDictionary(value, what);
  const items = member(value, "additionalDisplayItems");
  const additionalDisplayItems =
    items === undefined
      ? undefined
      : toSequence(items, `${what}.additionalDisplayItems`, (item, index) =>
          toItem(item, `${what}.additionalDisplayItems[${index}]`),
        );
  const data = optionalObject(member(value, "data"), `${what}.data`);
  const supportedMethods = requiredString(member(value, "supportedMethods"), `${what}.supportedMethods`);
  const total = member(value, "total");
  return {
    additionalDisplayItems,
    data,
    supportedMethods,
    total: total === undefined ? undefined : toItem(total, `${what}.total`),
  };
}

function toItem(value: unknown, what: string): Item {
  checkDictionary(value, what);
  const amountSource = member(value, "amount");
  if (amountSource === undefined) {
    throw typeError(`required member ${what}.amount is undefined.`);
  }
  checkDictionary(amountSource, `${what}.amount`);
  const amount: CurrencyAmount = {
    currency: requiredString(member(amountSource, "currency"), `${what}.amount.currency`),
    value: requiredString(member(amountSource, "value"), `${what}.amount.value`),
  };
  const rawLabel = member(value, "label");
  const label = requiredString(rawLabel, `${what}.label`);
  // `pending` is a boolean, whose conversion cannot fail and which nothing here uses; it is read as Web IDL reads it.
  void member(value, "pending");
  return { amount, label, rawLabel };
}
