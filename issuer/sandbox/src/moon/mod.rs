//! The Moon Shop: a registered merchant who cheats, to see that each attack of the paper "A Formal Security Analysis of the W3C
//! Web Payment APIs", carried over to FIDO Web Pay, ends at the wallet, the PSP or the bank. Its orders and pages are a [`Shop`]'s.

use crate::error::SandboxError;
use crate::http::{Client, blocking, error, json as json_answer, now_ms};
use crate::shop::Shop;
use crate::shop::pages::{frame, list};
use crate::shop::routes::scripted;
use axum::Router;
use axum::extract::{ConnectInfo, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use fwp::TimeStamp;
use maud::html;
use serde_json::{Value, json};
use std::sync::Arc;

const SCRIPT: &str = include_str!("moon.js");
const LISTED: u32 = 20;

/// What the cheating page can do: button, what it does, what ought to happen.
const ATTACKS: [(&str, &str, &str); 5] = [
    (
        "retry-second-card",
        "Ask twice",
        "Pays with one card, says that it failed, and hopes that the user takes a second one: both would be charged.",
    ),
    (
        "duplicate-method",
        "One method twice",
        "Names the payment method twice, with different data: the user sees one, the other is signed.",
    ),
    ("duplicate-network", "One network twice", "Names one network twice, with different options."),
    (
        "other-name",
        "Another's name",
        "Calls itself Space Shop, and has its PSP ask the bank under either name.",
    ),
    ("honest", "An honest sale", "Moon dust, 1 EUR, and no tricks."),
];

/// The Moon Shop's routes beside a shop's.
pub fn routes(shop: Arc<Shop>) -> Router {
    let path = shop.profile.path;
    Router::new()
        .route(path, get(home))
        .route(
            &format!("{path}/moon.js"),
            get(async || ([(header::CONTENT_TYPE, "text/javascript")], SCRIPT).into_response()),
        )
        .route(&format!("{path}/attack"), post(attack))
        .with_state(shop)
}

/// `GET /moon`.
async fn home(State(shop): State<Arc<Shop>>) -> Response {
    blocking(move || {
        let orders = shop.orders.newest(LISTED)?;
        let content = html! {
            section.attacks {
                h1 { "Everything must go. Yours, too." }
                p { "This shop is registered with its PSP, and cheats. Each button tries one way to get more than the user agreed to; what becomes of it is told below." }
                dl {
                    @for (id, label, what) in ATTACKS {
                        dt { button id=(id) type="button" { (label) } }
                        dd { (what) }
                    }
                }
                h2 { "What became of it" }
                pre #outcome role="status" {}
            }
            (list(&shop, &orders))
        };
        Ok(scripted(frame(&shop, "Bargains", Some("moon.js"), &content)))
    })
    .await
}

/// `POST /moon/attack`: delivers any authorization to the PSP in any envelope that the shop fancies: `payeeHost`, `paymentRequest`,
/// `fwpAssertion`, and `receiveAccount` if it is not its own.
async fn attack(
    State(shop): State<Arc<Shop>>,
    ConnectInfo(client): ConnectInfo<Client>,
    body: String,
) -> Response {
    let (request, host) = match read_attack(&shop, &body) {
        Ok(read) => read,
        Err(why) => return error(400, "attack", &why),
    };
    blocking(move || {
        let [payment_request, assertion, account] = request;
        let time = TimeStamp::from_unix_ms(now_ms()?, None).map_err(|_| SandboxError::Clock)?;
        let request = json!({
            "paymentRequest": payment_request,
            "fwpAssertion": assertion,
            "receiveAccount": account,
            "clientIpAddress": client.address.ip().to_string(),
            "timeStamp": time.as_str(),
        });
        let answered = shop.ask_psp(&request, &host)?;
        Ok(json_answer(answered.status, &answered.body))
    })
    .await
}

/// What the PSP is to read and refuse, as it stands there: paymentRequest, fwpAssertion and receiveAccount; and the host.
fn read_attack(shop: &Shop, body: &str) -> Result<([Value; 3], String), String> {
    let mut attack: Value = serde_json::from_str(body).map_err(|error| error.to_string())?;
    let mut take = |name: &str| attack.get_mut(name).map(Value::take);
    let host = take("payeeHost").and_then(|host| host.as_str().map(str::to_owned));
    let host = host.ok_or("payeeHost is missing")?;
    let account = take("receiveAccount").unwrap_or_else(|| shop.profile.receive_account.into());
    Ok((
        [take("paymentRequest").unwrap_or_default(), take("fwpAssertion").unwrap_or_default(), account],
        host,
    ))
}
