//! The bank's page for customers who want cards in their browser's wallet.

use crate::guard::OWN_SCRIPT;
use axum::http::header;
use axum::response::{Html, IntoResponse, Response};
use maud::{DOCTYPE, html};

const SCRIPT: &str = include_str!("assets/enroll.js");
const STYLE: &str = include_str!("assets/enroll.css");

/// `GET /bank/enroll`.
pub async fn page() -> Response {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "Your cards – Sandbox Bank" }
                link rel="icon" href="data:,";
                link rel="stylesheet" href="/bank/enroll.css";
                script src="/bank/enroll.js" defer {}
            }
            body {
                header { a href="/bank" { "Sandbox Bank" } span { "Ada Sandbox" } }
                main {
                    div.cards aria-hidden="true" { div.card.one { i {} } div.card.two { i {} } }
                    h1 { "Pay on the web with your cards" }
                    p { "Put your two cards into this browser's wallet. A key is made on your device, and only you can use it, with your PIN or fingerprint." }
                    label { input #replace type="checkbox"; " Replace cards that the wallet already has" }
                    button #enroll type="button" { "Add my cards" }
                    p #state role="status" data-state="idle" {}
                    p #error role="alert" {}
                    p.small { "Test keys and test money, this machine only." }
                }
            }
        }
    };
    ([(header::CONTENT_SECURITY_POLICY, OWN_SCRIPT)], Html(page.into_string())).into_response()
}

/// `GET /bank/enroll.js`.
pub async fn script() -> Response {
    ([(header::CONTENT_TYPE, "text/javascript")], SCRIPT).into_response()
}

/// `GET /bank/enroll.css`.
pub async fn style() -> Response {
    ([(header::CONTENT_TYPE, "text/css")], STYLE).into_response()
}
