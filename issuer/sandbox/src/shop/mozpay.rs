//! The shop's side of mozPay: requests for its page, and the provider's notices, which are believed when they are signed, fresh, and
//! about an order as it was put in.

use super::Shop;
use super::orders::{NoticedState, Order};
use super::routes::{read_amount, with_order};
use crate::error::SandboxError;
use crate::guard::{called_origin, page_host};
use crate::http::{Client, blocking, error, json, now_ms};
use crate::moz_pay::jwt::{Checker, JwtRefusal, Signer};
use crate::moz_pay::{NoticeKind, PROVIDER, REQUEST_LIFE_S, TYP_SHARED, TYP_SIGNED, TYPES};
use axum::Router;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use fwp::json::{Attributes, FieldError};
use serde_json::{Value, json as to_json};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Most bytes of a notice, or of what a page asks for.
const MAX_BYTES: usize = 64 * 1024;

/// Why a notice is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoticeRefusal {
    /// There is not exactly one.
    #[error("there must be one notice, as the form's only field")]
    Form,
    /// It is not signed as it should be.
    #[error("the notice: {0}")]
    Jwt(#[from] JwtRefusal),
    /// It came before.
    #[error("this notice came before")]
    Replay,
    /// It is about no order, or not as it was put in.
    #[error("the notice is not about an order of this shop as it was put in")]
    Order,
    /// The order was paid by another transaction, or given back.
    #[error("the order is in another state than the notice could be about")]
    State,
}

impl NoticeRefusal {
    /// HTTP status, and a word for programs that stays the same from version to version.
    pub fn status_and_code(&self) -> (u16, &'static str) {
        match self {
            Self::Form => (400, "notice-form"),
            Self::Jwt(refusal) => (403, refusal.code()),
            Self::Replay => (409, "notice-replay"),
            Self::Order => (422, "notice-order"),
            Self::State => (409, "notice-state"),
        }
    }
}

/// What a shop that takes mozPay has besides, below its path.
pub fn routes(shop: Arc<Shop>) -> Router {
    let path = shop.profile.path;
    Router::new()
        .route(&format!("{path}/mozpay"), post(request))
        .route(&format!("{path}/mozpay/postback"), post(postback))
        .route(&format!("{path}/mozpay/chargeback"), post(chargeback))
        .route(&format!("{path}/orders/{{number}}/refund"), post(refund_order))
        .route(&format!("{path}/refunds"), post(refund_transaction))
        .layer(DefaultBodyLimit::max(MAX_BYTES))
        .with_state(shop)
}

/// `POST /shop/mozpay`: a new order, and a signed request for it: of the type that the shop signs itself, unless `typ` names the
/// other. `amount` as in an order.
async fn request(
    State(shop): State<Arc<Shop>>,
    ConnectInfo(client): ConnectInfo<Client>,
    headers: HeaderMap,
    body: String,
) -> Response {
    let (typ, amount) = match read_request(&body) {
        Ok(read) => read,
        Err(why) => return error(400, "order", &why),
    };
    // Where the page is, notices go, and what is bought on it is bought from that host.
    let (host, origin) = match page_host(&headers) {
        Some(_) => (shop.host_of_page(&headers), called_origin(&headers, client)),
        None => (Ok("localhost"), Some(shop.base_url.clone())),
    };
    let (host, origin) = match (host, origin) {
        (Ok(host), Some(origin)) => (host, origin),
        (Err(refusal), _) => return refusal,
        (_, None) => return error(400, "host", "the request has no host"),
    };
    blocking(move || {
        let order = shop.new_order(&amount, host)?;
        Ok(match shop.signed_request(&order, typ, &origin)? {
            Ok(jwt) => json(
                201,
                &to_json!({ "order": order.number.to_string(), "jwt": jwt, "typ": typ, "payeeHost": host }),
            ),
            Err(answer) => answer,
        })
    })
    .await
}

fn read_request(body: &str) -> Result<(&'static str, fwp::Amount), String> {
    let mut asked =
        Attributes::parse("order", if body.is_empty() { "{}" } else { body }).map_err(|e| e.to_string())?;
    let known =
        |typ: &str| TYPES.into_iter().find(|known| *known == typ).ok_or("the shop has no such requests");
    let typ = if asked.has("typ") {
        asked.parsed("typ", known).map_err(|error: FieldError| error.to_string())?
    } else {
        TYP_SHARED
    };
    let amount = asked.optional("amount");
    asked.finish().map_err(|error| error.to_string())?;
    let amount = match amount {
        None => read_amount("")?,
        Some(fwp::json::Json::Text(amount)) => read_amount(&to_json!({ "amount": amount }).to_string())?,
        Some(_) => return Err("order.amount must be a string".to_owned()),
    };
    Ok((typ, amount))
}

impl Shop {
    /// The signed request for an order that was put in on a page of `origin`, or what the provider answers instead. Blocks.
    fn signed_request(
        &self,
        order: &Order,
        typ: &str,
        origin: &str,
    ) -> Result<Result<String, Response>, SandboxError> {
        let path = self.profile.path;
        let request = to_json!({
            "id": order.number.to_string(),
            "name": "Rocket Boots",
            "description": "Twin ion nozzles, soles of heat shield, laces that hold at 4 g.",
            "price": { "amount": order.amount.as_str(), "currency": order.currency.as_str() },
            "postbackURL": format!("{origin}{path}/mozpay/postback"),
            "chargebackURL": format!("{origin}{path}/mozpay/chargeback"),
            "productData": format!("order={}", order.number),
        });
        if typ == TYP_SIGNED {
            let answered = self.ask(&format!("{}/mozpay/requests", self.psp), &request)?;
            let jwt = answered.body.get("jwt").and_then(Value::as_str);
            return Ok(jwt.map(str::to_owned).ok_or_else(|| json(answered.status, &answered.body)));
        }
        let now_s = now_ms()? / 1000;
        let claims = to_json!({
            "iss": self.profile.name, "aud": PROVIDER, "typ": typ,
            "iat": now_s, "exp": now_s + REQUEST_LIFE_S, "request": request,
        });
        Ok(Ok(Signer::hs256(self.keys.secret(self.profile)?).sign(&claims)?))
    }

    /// Believes a notice, or says why not: the transaction that it is about. What it says is noted. Blocks.
    fn believe(
        &self,
        kind: NoticeKind,
        body: &str,
        now_s: i64,
    ) -> Result<Result<String, NoticeRefusal>, SandboxError> {
        let mut fields = url::form_urlencoded::parse(body.as_bytes());
        let (Some((name, jwt)), None) = (fields.next(), fields.next()) else {
            return Ok(Err(NoticeRefusal::Form));
        };
        if name != "notice" {
            return Ok(Err(NoticeRefusal::Form));
        }
        // Each type has its key and algorithm; the notice is of the type that its right key has signed.
        let mut refusal = JwtRefusal::Algorithm;
        for typ in TYPES {
            let checker = match typ {
                TYP_SIGNED => self.keys.provider_checker(),
                _ => Checker::hs256(self.keys.secret(self.profile)?),
            };
            match checker.check(&jwt, PROVIDER, self.profile.name, now_s) {
                Ok(claims) if claims.get("typ").and_then(Value::as_str) == Some(kind.typ(typ).as_str()) => {
                    return self.note(kind, &claims);
                }
                Ok(_) => refusal = JwtRefusal::Type,
                // The other type's.
                Err(JwtRefusal::Algorithm) => {}
                Err(other) => refusal = other,
            }
        }
        Ok(Err(refusal.into()))
    }

    /// Notes what a verified notice says.
    fn note(&self, kind: NoticeKind, claims: &Value) -> Result<Result<String, NoticeRefusal>, SandboxError> {
        let text = |pointer: &str| claims.pointer(pointer).and_then(Value::as_str);
        let until_s = claims.get("exp").and_then(Value::as_i64);
        let (Some(jti), Some(until_s), Some(transaction), Some(id)) =
            (text("/jti"), until_s, text("/response/transactionID"), text("/request/id"))
        else {
            return Ok(Err(JwtRefusal::Form(
                "jti, exp, request.id or response.transactionID is missing".to_owned(),
            )
            .into()));
        };
        let order = match id.parse() {
            Ok(number) => self.orders.order(number)?,
            Err(_) => None,
        };
        let Some(order) = order else { return Ok(Err(NoticeRefusal::Order)) };
        let price = to_json!({ "amount": order.amount.as_str(), "currency": order.currency.as_str() });
        if claims.pointer("/response/price") != Some(&price)
            || claims.pointer("/request/price") != Some(&price)
        {
            return Ok(Err(NoticeRefusal::Order));
        }
        let state = match (kind, text("/response/reason")) {
            (NoticeKind::Postback, None) => NoticedState::Paid,
            (NoticeKind::Chargeback, Some("refund")) => NoticedState::Refunded,
            (NoticeKind::Chargeback, Some("failed")) => {
                NoticedState::Failed(text("/response/message").unwrap_or("the payment failed").to_owned())
            }
            _ => return Ok(Err(JwtRefusal::Form("response.reason does not fit".to_owned()).into())),
        };
        let noted = self.orders.note_notice(jti, until_s, order.number, transaction, &state)?;
        Ok(noted.map(|()| transaction.to_owned()))
    }
}

/// `POST /shop/mozpay/postback`: the provider says that an order is paid.
async fn postback(State(shop): State<Arc<Shop>>, body: String) -> Response {
    notice(shop, NoticeKind::Postback, body).await
}

/// `POST /shop/mozpay/chargeback`: the provider says that a payment failed, or was given back.
async fn chargeback(State(shop): State<Arc<Shop>>, body: String) -> Response {
    notice(shop, NoticeKind::Chargeback, body).await
}

async fn notice(shop: Arc<Shop>, kind: NoticeKind, body: String) -> Response {
    let left =
        shop.fails_notices.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
    if left.is_ok() {
        return error(503, "closed", "the shop is told to fail this notice (--shop-fails-notices)");
    }
    blocking(move || {
        let now_s = now_ms()? / 1000;
        shop.orders.forget_notices(now_s)?;
        Ok(match shop.believe(kind, &body, now_s)? {
            Ok(transaction) => (StatusCode::OK, transaction).into_response(),
            Err(refusal) => {
                let (status, code) = refusal.status_and_code();
                tracing::info!(code, kind = kind.word(), "shop: notice refused");
                error(status, code, &refusal.to_string())
            }
        })
    })
    .await
}

/// `POST /shop/orders/N/refund`: gives the money of an order back that was paid by mozPay.
async fn refund_order(State(shop): State<Arc<Shop>>, Path(number): Path<String>) -> Response {
    blocking(move || with_order(&shop, &number, |order| shop.give_back(&order))).await
}

/// `POST /shop/refunds`: the same, by `{"transactionID": ...}`.
async fn refund_transaction(State(shop): State<Arc<Shop>>, body: String) -> Response {
    let id = Attributes::parse("refund", &body).and_then(|mut refund| {
        let id = refund.text("transactionID")?;
        refund.finish().map(|()| id)
    });
    let id = match id {
        Ok(id) => id,
        Err(why) => return error(400, "body", &why.to_string()),
    };
    blocking(move || match shop.orders.order_of(&id)? {
        Some(order) => shop.give_back(&order),
        None => Ok(error(404, "order", "the shop knows no such transaction")),
    })
    .await
}

impl Shop {
    fn give_back(&self, order: &Order) -> Result<Response, SandboxError> {
        let Some(transaction) = &order.transaction_id else {
            return Ok(error(
                409,
                "not-paid",
                "this order was not paid by mozPay, so there is nothing to give back",
            ));
        };
        let answered =
            self.ask(&format!("{}/mozpay/refunds", self.psp), &to_json!({ "transactionID": transaction }))?;
        Ok(json(answered.status, &answered.body))
    }
}
