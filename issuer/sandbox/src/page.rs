//! The frame of all pages. Everything from outside goes through maud, which escapes it.

use maud::{DOCTYPE, Markup, PreEscaped, html};

const STYLE: &str = "
:root { color-scheme: light dark; --line: #8884; --soft: #8882; --good: #0a7d45; --bad: #c0362c; --warn: #a06a00 }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
nav a { margin-right: 1rem } h1 { line-height: 1.2 }
table { border-collapse: collapse; width: 100% } td, th { text-align: left; padding: .35rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top }
th { font-weight: 600; white-space: nowrap } td { overflow-wrap: anywhere }
section { margin: 1.5rem 0; padding: .5rem 1rem 1rem; border: 1px solid var(--line); border-radius: .6rem }
section h2 { font-size: 1.05rem; margin: .4rem 0 }
.booked { color: var(--good) } .refused, .declined { color: var(--bad) } .duplicate { color: var(--warn) }
.verdict { font-size: 1.25rem; font-weight: 600 } code { background: var(--soft); padding: .1rem .3rem; border-radius: .3rem }
";

/// A page with this title.
pub fn page(title: &str, content: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) " – FIDO Web Pay sandbox" }
                link rel="icon" href="data:,";
                style { (PreEscaped(STYLE)) }
            }
            body {
                nav { a href="/" { "Sandbox" } a href="/shop" { "Space Shop" } a href="/bank" { "Sandbox Bank" } }
                h1 { (title) }
                (content)
                p { small { "Test keys, test money, this machine only." } }
            }
        }
    }
}

/// The front page.
pub fn home(base_url: &str, https_url: Option<&str>) -> Markup {
    let at = |base_url: &str, host: &str| base_url.replacen("localhost", host, 1);
    page(
        "Two shops, a PSP and a bank",
        &html! {
            p { "Two shops, a payment service provider (PSP) and a bank to try a wallet against. They talk to each other as they would over the network." }
            section {
                h2 { "In a browser with the wallet's extension" }
                ol {
                    li { a href={ (base_url) "/bank/enroll" } { "Get cards from the bank" } }
                    li { "Buy at the " a href={ (base_url) "/shop" } { "Space Shop" } }
                    li { "See how the " a href={ (at(base_url, "moonshop.localhost")) "/moon" } { "Moon Shop" } " fails to cheat" }
                    li { "See what the bank sees: " a href={ (base_url) "/bank" } { "the bank's payments" } }
                }
                @if let Some(https_url) = https_url {
                    p { "With HTTPS, for a browser that is told that these names are here: " }
                    ul {
                        @for (host, path) in [("localhost", "/bank/enroll"), ("spaceshop.com", "/shop"), ("moonshop.example", "/moon")] {
                            li { a href={ (at(https_url, host)) (path) } { (at(https_url, host)) (path) } }
                        }
                    }
                }
            }
            section {
                h2 { "In a terminal" }
                ol {
                    li { "Once, a PIN: " code { "fwpctl pin set" } }
                    li { "Enroll: " code { "fwpctl enroll " (base_url) "/bank/offer" } }
                    li { "Order: " code { "fwp-sandbox order --url " (base_url) " > request.json" } }
                    li { "Pay: " code { "fwpctl pay request.json > assertion.json" } }
                    li { "Check out: " code { "fwp-sandbox checkout --url " (base_url) " --order NUMBER < assertion.json" } }
                    li { "See what the bank sees: " a href="/bank" { "the bank's payments" } }
                }
            }
        },
    )
}
