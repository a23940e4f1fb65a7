//! The bank's pages for its staff.

use crate::bank::books::NotedDelivery;
use crate::bank::cards::{CUSTOMER, Product};
use crate::bank::funds::Cents;
use crate::bank::issued::Issued;
use crate::bank::view::View;
use crate::page::page;
use fwp::TimeStamp;
use maud::{Markup, html};
use serde::Deserialize;

/// What `NotedDelivery::view` holds.
#[derive(Deserialize)]
struct Noted {
    outcome: Outcome,
    #[serde(flatten)]
    view: View,
}

#[derive(Deserialize)]
struct Outcome {
    status: String,
    reference: Option<String>,
    error: Option<String>,
    message: Option<String>,
}

/// The list of deliveries, newest first.
pub fn list(
    deliveries: &[(i64, NotedDelivery)],
    balances: &[(&Product, Option<Cents>)],
    cards: &[Issued],
) -> Markup {
    page(
        "Sandbox Bank",
        &html! {
            section {
                h2 { "Accounts of " (CUSTOMER) }
                table {
                    @for (product, balance) in balances {
                        tr {
                            th { (product.account_id) }
                            td { (product.network) }
                            td { @if let Some(cents) = balance { (cents) " EUR" } @else { "–" } }
                        }
                    }
                }
            }
            @if !cards.is_empty() {
                section {
                    h2 { "Cards" }
                    table {
                        tr { th { "No." } th { "Account" } th { "Model of the key" } th { "Vouched for by" } }
                        @for card in cards {
                            tr {
                                td { (card.serial_number) }
                                td { (card.account_id) }
                                td { (card.model().unwrap_or_else(|| "–".to_owned())) }
                                td { (card.key.map_or("–", |(_, voucher)| voucher.text())) }
                            }
                        }
                    }
                }
            }
            section {
                h2 { "Payments" }
                @if deliveries.is_empty() {
                    p { "Nothing has come in yet." }
                } @else {
                    table {
                        @for (number, delivery) in deliveries {
                            tr {
                                td { a href={ "/bank/deliveries/" (number) } { "No. " (number) } }
                                td { (when(delivery.at_ms)) }
                                td { (delivery.merchant) }
                                td class=(delivery.status) { (summary(delivery)) }
                            }
                        }
                    }
                }
            }
        },
    )
}

/// One delivery.
pub fn show(number: i64, delivery: &NotedDelivery) -> Markup {
    let noted = read(delivery);
    page(
        &format!("Payment No. {number}"),
        &html! {
            p.verdict class=(delivery.status) { (summary(delivery)) }
            p { "Received " (when(delivery.at_ms)) " from " (delivery.merchant) ", transaction " code { (delivery.transaction) } }
            @if let Some(noted) = noted {
                @for section in &noted.view.sections {
                    section {
                        h2 { (section.title) }
                        table { @for (label, value) in &section.lines { tr { th { (label) } td { (value) } } } }
                    }
                }
            }
        },
    )
}

fn read(delivery: &NotedDelivery) -> Option<Noted> {
    serde_json::from_str(&delivery.view).ok()
}

fn summary(delivery: &NotedDelivery) -> String {
    let Some(Noted { outcome, .. }) = read(delivery) else { return delivery.status.clone() };
    let again = if delivery.status == "duplicate" { " (said before, nothing booked now)" } else { "" };
    match (outcome.reference, outcome.error, outcome.message) {
        (Some(reference), _, _) => format!("{} as {reference}{again}", outcome.status),
        (_, Some(code), Some(message)) => format!("{} ({code}): {message}", outcome.status),
        (_, _, Some(message)) => format!("{}: {message}{again}", outcome.status),
        _ => outcome.status,
    }
}

fn when(at_ms: i64) -> String {
    TimeStamp::from_unix_ms(at_ms, None).map_or_else(|_| "at an unknown time".to_owned(), |at| at.to_string())
}
