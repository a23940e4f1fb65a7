//! The shop's pages. Everything from outside goes through maud, which escapes it.

use super::orders::Order;
use super::{PRICE, Shop};
use maud::{DOCTYPE, Markup, PreEscaped, html};

/// What the pages do.
pub const SCRIPT: &str = include_str!("assets/shop.js");
/// How they look.
pub const STYLE: &str = include_str!("assets/shop.css");
/// Rocket boots.
const BOOTS: PreEscaped<&str> = PreEscaped(include_str!("assets/boots.svg"));

/// A page of the shop. Its scripts and style sheets are below `path`.
pub fn frame(shop: &Shop, title: &str, script: Option<&str>, content: &Markup) -> Markup {
    let path = shop.profile.path;
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) " – " (shop.profile.name) }
                link rel="icon" href="data:,";
                link rel="stylesheet" href={ (path) "/shop.css" };
                @if let Some(script) = script { script src={ (path) "/" (script) } defer {} }
            }
            body class=(shop.profile.id) data-shop=(path) {
                header {
                    a.name href=(path) { (shop.profile.name) }
                    span { "test money, this machine only" }
                }
                main { (content) }
            }
        }
    }
}

/// `GET /shop`.
pub fn product(shop: &Shop, orders: &[Order]) -> Markup {
    frame(
        shop,
        "Rocket Boots",
        Some("shop.js"),
        &html! {
            section.product {
                div.art { (BOOTS) }
                div.about {
                    p.kind { "Footwear, interplanetary" }
                    h1 { "Rocket Boots" }
                    p { "Lift off from a standing start. Twin ion nozzles, soles of heat shield, laces that hold at 4 g." }
                    ul { li { "Range 40 km, or one Moon hop" } li { "Charges overnight" } li { "Sizes 36 to 48" } }
                    p.price { (PRICE) " " span { "EUR" } }
                    div.buttons {
                        button #buy type="button" { "Buy now" }
                        button #mozpay .second type="button" { "Pay with mozPay" }
                        button #mozpay-signed .second type="button" { "mozPay, signed by the provider" }
                    }
                    p #progress role="status" {}
                    p #error role="alert" {}
                }
            }
            (list(shop, orders))
        },
    )
}

/// The newest orders.
pub fn list(shop: &Shop, orders: &[Order]) -> Markup {
    html! {
        section.orders {
            h2 { "Orders" }
            @if orders.is_empty() { p { "None yet." } }
            table {
                @for order in orders {
                    tr {
                        td { a href={ (shop.profile.path) "/orders/" (order.number) } { (order.number) } }
                        td { (order.amount) " " (order.currency) }
                        td class=(order.state) { (order.word()) }
                        td { @if let Some(reference) = &order.reference { "the bank's reference is " (reference) } }
                    }
                }
            }
        }
    }
}

/// `GET /shop/orders/N`.
pub fn order(shop: &Shop, order: &Order) -> Markup {
    let (headline, sentence) = match order.state.as_str() {
        "booked" => ("Thank you!", "Your order is paid and will lift off today."),
        "declined" => ("Not paid", "The bank declined the payment."),
        "refused" => ("Not paid", "The payment was refused."),
        "refunded" => ("Refunded", "Your money is on its way back."),
        _ => ("Almost there", "We wait for the payment."),
    };
    frame(
        shop,
        &format!("Order {}", order.number),
        None,
        &html! {
            section.receipt class=(order.state) {
                h1 { (headline) }
                p #state data-state=(order.word()) { (sentence) }
                table {
                    tr { th { "Order" } td { (order.number) } }
                    tr { th { "Total" } td { (order.amount) " " (order.currency) } }
                    @if let Some(reference) = &order.reference { tr { th { "Bank's reference" } td { (reference) } } }
                    @if let Some(transaction) = &order.transaction_id {
                        tr { th { "Transaction" } td #transaction { (transaction) } }
                    }
                    @if let Some(message) = &order.message { tr { th { "Reason" } td #reason { (message) } } }
                }
                p { a href=(shop.profile.path) { "Back to the shop" } }
            }
        },
    )
}
