//! The Space Shop of the FIDO Web Pay document: takes orders, and with the FWP assertion that the wallet gave its page asks
//! its PSP for the money (section 6, steps 1, 6 and 7).

pub mod orders;

use crate::error::SandboxError;
use crate::http::{self, TRANSACTION, blocking, error, json, now_ms, random_id};
use crate::page::page;
use axum::Router;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Path, State};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use fwp::envelope::PspRequest;
use fwp::json::Attributes;
use fwp::{Amount, Currency, FwpAssertion, TimeStamp};
use maud::{Markup, html};
use orders::{Order, Orders};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// The shop's name, as users are shown it and the PSP has it registered.
pub const NAME: &str = "Space Shop";
/// The host that the shop's pages come from.
pub const HOST: &str = "spaceshop.com";
/// The shop's account.
pub const RECEIVE_ACCOUNT: &str = "DE89370400440532013000";
/// What an order costs unless it says otherwise: the amount of the document's sample.
const PRICE: &str = "435.00";
const LISTED: u32 = 100;

/// The shop.
#[derive(Debug)]
pub struct Shop {
    /// Its orders.
    pub orders: Orders,
    /// Where its PSP takes PSPRequests.
    pub psp_url: String,
    /// What the shop shows to its PSP.
    pub merchant_token: String,
}

impl Shop {
    /// Asks the PSP for the money of `order` with `assertion`. Returns the answer, and notes it. Blocks.
    fn check_out(
        &self,
        order: &Order,
        assertion: FwpAssertion,
        client: IpAddr,
    ) -> Result<http::Answered, SandboxError> {
        let request = PspRequest {
            payment_request: order.prcd(),
            fwp_assertion: assertion,
            receive_account: RECEIVE_ACCOUNT.to_owned(),
            client_ip_address: client.to_string(),
            time_stamp: TimeStamp::from_unix_ms(now_ms()?, None).map_err(|_| SandboxError::Clock)?,
        };
        let authorization = format!("Bearer {}", self.merchant_token);
        let transaction = random_id()?;
        let headers = [("authorization", authorization.as_str()), (TRANSACTION, transaction.as_str())];
        let mut answered = http::post(&self.psp_url, &headers, &request.to_json().to_string())?;
        let text = |name: &str| answered.body.get(name).and_then(serde_json::Value::as_str);
        if let Some(status @ ("booked" | "declined" | "refused")) = text("status") {
            self.orders.note_state(order.number, status, text("reference"))?;
        }
        if let Some(body) = answered.body.as_object_mut() {
            body.insert("order".to_owned(), order.number.to_string().into());
            body.insert("amount".to_owned(), order.amount.as_str().into());
            body.insert("currency".to_owned(), order.currency.as_str().into());
        }
        Ok(answered)
    }
}

/// The shop's part of the server.
pub fn routes(shop: Arc<Shop>) -> Router {
    Router::new()
        .route("/shop", get(home))
        .route("/shop/orders", post(take))
        .route("/shop/orders/{number}", get(show))
        .route("/shop/orders/{number}/payment", post(pay))
        .route("/shop/orders/{number}/redelivery", post(redeliver))
        .layer(DefaultBodyLimit::max(fwp::envelope::MAX_ENVELOPE_BYTES))
        .with_state(shop)
}

/// `POST /shop/orders`: a new order, of the sample's amount if the body is empty or `{}`, or of `{"amount": "12.50"}`.
async fn take(State(shop): State<Arc<Shop>>, body: String) -> Response {
    let amount = match read_amount(&body) {
        Ok(amount) => amount,
        Err(why) => return error(400, "order", &why),
    };
    let Ok(euro) = Currency::parse("EUR") else { return error(500, "internal", "no currency") };
    blocking(move || Ok(json(201, &order_json(&shop.orders.take(&amount, euro)?)))).await
}

/// The amount that the body of an order names.
fn read_amount(body: &str) -> Result<Amount, String> {
    let mut order =
        Attributes::parse("order", if body.is_empty() { "{}" } else { body }).map_err(|e| e.to_string())?;
    let amount = if order.has("amount") {
        order.parsed("amount", Amount::parse).map_err(|error| error.to_string())?
    } else {
        Amount::parse(PRICE).map_err(|error| error.to_string())?
    };
    order.finish().map(|()| amount).map_err(|error| error.to_string())
}

/// `GET /shop/orders/N`.
async fn show(State(shop): State<Arc<Shop>>, Path(number): Path<String>) -> Response {
    blocking(move || with_order(&shop, &number, |order| Ok(json(200, &order_json(&order))))).await
}

/// `POST /shop/orders/N/payment`: checks an order out with the FWP assertion in the body.
async fn pay(
    State(shop): State<Arc<Shop>>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    Path(number): Path<String>,
    body: String,
) -> Response {
    let assertion = Attributes::parse("assertion", &body).and_then(FwpAssertion::from_json);
    let assertion = match assertion {
        Ok(assertion) => assertion,
        Err(why) => return error(400, "assertion", &why.to_string()),
    };
    blocking(move || {
        with_order(&shop, &number, |order| {
            shop.orders.keep_assertion(order.number, &assertion)?;
            let answered = shop.check_out(&order, assertion, client.ip())?;
            Ok(json(answered.status, &answered.body))
        })
    })
    .await
}

/// `POST /shop/orders/N/redelivery`: the authorization that the shop already has, in another envelope. An honest shop
/// doesn't; this is here to see the bank refuse it.
async fn redeliver(
    State(shop): State<Arc<Shop>>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    Path(number): Path<String>,
) -> Response {
    blocking(move || {
        with_order(&shop, &number, |order| match order.assertion.clone() {
            None => Ok(error(
                409,
                "not-checked-out",
                "this order was never checked out, so there is nothing to deliver again",
            )),
            Some(assertion) => {
                let answered = shop.check_out(&order, assertion, client.ip())?;
                Ok(json(answered.status, &answered.body))
            }
        })
    })
    .await
}

fn with_order(
    shop: &Shop,
    number: &str,
    answer: impl FnOnce(Order) -> Result<Response, SandboxError>,
) -> Result<Response, SandboxError> {
    let order = match number.parse() {
        Ok(number) => shop.orders.order(number)?,
        Err(_) => None,
    };
    order.map_or_else(|| Ok(error(404, "order", "the shop has no order of that number")), answer)
}

/// An order with the request for the wallet, as in the document's sample.
fn order_json(order: &Order) -> serde_json::Value {
    serde_json::json!({
        "order": order.number.to_string(),
        "state": order.state,
        "reference": order.reference,
        "request": {
            "payeeHost": HOST,
            "methodData": [{
                "supportedMethods": fwp::PAYMENT_METHOD,
                "data": {
                    "payeeName": NAME,
                    "networks": [
                        { "id": "https://mastercard.com/fwp" },
                        { "id": "https://visa.com/fwp" },
                        { "id": "https://banknet2.org", "networkOptions": "additional stuff..." },
                    ],
                },
            }],
            "details": {
                "id": order.number.to_string(),
                "total": { "label": null, "amount": { "currency": order.currency.as_str(), "value": order.amount.as_str() } },
            },
        },
    })
}

/// `GET /shop`: the shop's orders.
async fn home(State(shop): State<Arc<Shop>>) -> Response {
    blocking(move || Ok(Html(home_page(&shop.orders.newest(LISTED)?).into_string()).into_response())).await
}

fn home_page(orders: &[Order]) -> Markup {
    page(
        NAME,
        &html! {
            p { "Rockets, boots, freeze-dried ice cream. " code { "fwp-sandbox order" } " puts an order in, " code { "fwp-sandbox checkout" } " pays it." }
            section {
                h2 { "Orders" }
                @if orders.is_empty() { p { "None yet." } }
                table {
                    @for order in orders {
                        tr {
                            td { (order.number) }
                            td { (order.amount) " " (order.currency) }
                            td class=(order.state) { (order.state) @if let Some(reference) = &order.reference { " (the bank's reference is " (reference) ")" } }
                        }
                    }
                }
            }
        },
    )
}
