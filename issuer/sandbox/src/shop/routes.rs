//! A shop's HTTP interface, below its own path: for its pages, and for `fwp-sandbox order` and `checkout`.

use super::orders::Order;
use super::{PRICE, Shop, pages};
use crate::error::SandboxError;
use crate::guard::{OWN_SCRIPT, page_host};
use crate::http::{Client, blocking, error, json};
use axum::Router;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use fwp::json::Attributes;
use fwp::{Amount, Currency, FwpAssertion};
use maud::Markup;
use std::sync::Arc;

/// Most orders on the shop's list.
const LISTED: u32 = 20;

/// The pages of an honest shop, beside [`routes`].
pub fn pages_of(shop: Arc<Shop>) -> Router {
    Router::new().route(shop.profile.path, get(home)).with_state(shop)
}

/// What every shop of the sandbox has below its path.
pub fn routes(shop: Arc<Shop>) -> Router {
    let path = shop.profile.path;
    let asset = |kind: &'static str, text: &'static str| {
        get(async move || ([(header::CONTENT_TYPE, kind)], text).into_response())
    };
    Router::new()
        .route(&format!("{path}/shop.js"), asset("text/javascript", pages::SCRIPT))
        .route(&format!("{path}/shop.css"), asset("text/css", pages::STYLE))
        .route(&format!("{path}/orders"), post(take))
        .route(&format!("{path}/orders/{{number}}"), get(show))
        .route(&format!("{path}/orders/{{number}}/payment"), post(pay))
        .route(&format!("{path}/orders/{{number}}/redelivery"), post(redeliver))
        .layer(DefaultBodyLimit::max(fwp::envelope::MAX_ENVELOPE_BYTES))
        .with_state(shop)
}

/// A page that runs the site's own script.
pub fn scripted(page: Markup) -> Response {
    ([(header::CONTENT_SECURITY_POLICY, OWN_SCRIPT)], axum::response::Html(page.into_string()))
        .into_response()
}

/// `GET /shop`: what the shop sells, and its orders.
async fn home(State(shop): State<Arc<Shop>>) -> Response {
    blocking(move || Ok(scripted(pages::product(&shop, &shop.orders.newest(LISTED)?)))).await
}

/// `POST /shop/orders`: a new order, of the sample's amount if the body is empty or `{}`, or of `{"amount": "12.50"}`.
async fn take(State(shop): State<Arc<Shop>>, headers: HeaderMap, body: String) -> Response {
    let amount = match read_amount(&body) {
        Ok(amount) => amount,
        Err(why) => return error(400, "order", &why),
    };
    let host = match shop.host_of_page(&headers) {
        Ok(host) => host,
        Err(refusal) => return refusal,
    };
    blocking(move || Ok(json(201, &shop.order_json(&shop.new_order(&amount, host)?)))).await
}

impl Shop {
    /// The shop's host that the page came from which sent this; of what no page sent, the first one. Otherwise the answer.
    #[allow(clippy::result_large_err)] // it is sent at once
    pub(super) fn host_of_page(&self, headers: &HeaderMap) -> Result<&'static str, Response> {
        let hosts = self.profile.hosts;
        let host = match page_host(headers) {
            None => hosts.first(),
            Some(name) => hosts.iter().find(|host| **host == name),
        };
        host.copied().ok_or_else(|| error(421, "host", "the shop takes no orders under that name"))
    }

    /// Takes an order in the shop's currency.
    pub(super) fn new_order(&self, amount: &Amount, host: &str) -> Result<Order, SandboxError> {
        let euro = Currency::parse("EUR").map_err(|_| SandboxError::DamagedBooks("no currency"))?;
        self.orders.take(amount, euro, host)
    }
}

/// The amount that the body of an order names.
pub(super) fn read_amount(body: &str) -> Result<Amount, String> {
    let mut order =
        Attributes::parse("order", if body.is_empty() { "{}" } else { body }).map_err(|e| e.to_string())?;
    let amount = if order.has("amount") {
        order.parsed("amount", Amount::parse).map_err(|error| error.to_string())?
    } else {
        Amount::parse(PRICE).map_err(|error| error.to_string())?
    };
    order.finish().map(|()| amount).map_err(|error| error.to_string())
}

/// `GET /shop/orders/N`: a page for browsers, otherwise JSON.
async fn show(State(shop): State<Arc<Shop>>, headers: HeaderMap, Path(number): Path<String>) -> Response {
    let accepted = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let page = accepted.contains("text/html");
    blocking(move || {
        with_order(&shop, &number, |order| {
            Ok(if page { scripted(pages::order(&shop, &order)) } else { json(200, &shop.order_json(&order)) })
        })
    })
    .await
}

/// `POST /shop/orders/N/payment`: checks an order out with the FWP assertion in the body.
async fn pay(
    State(shop): State<Arc<Shop>>,
    ConnectInfo(client): ConnectInfo<Client>,
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
            let answered = shop.check_out(&order, assertion, client.address.ip())?;
            Ok(json(answered.status, &answered.body))
        })
    })
    .await
}

/// `POST /shop/orders/N/redelivery`: the authorization that the shop already has, in another envelope. An honest shop
/// doesn't; this is here to see the bank refuse it.
async fn redeliver(
    State(shop): State<Arc<Shop>>,
    ConnectInfo(client): ConnectInfo<Client>,
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
                let answered = shop.check_out(&order, assertion, client.address.ip())?;
                Ok(json(answered.status, &answered.body))
            }
        })
    })
    .await
}

pub(super) fn with_order(
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
