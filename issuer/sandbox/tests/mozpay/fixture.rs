//! A sandbox, a card, and what shop, wallet and provider do and say.

use crate::common::server::Sandbox;
use crate::common::{Card, FidoKey};
use fwp::PaymentRequest;
use fwp_sandbox::http::{self, Answered, now_ms};
use fwp_sandbox::merchants::SPACE_SHOP;
use fwp_sandbox::moz_pay::PROVIDER;
use fwp_sandbox::moz_pay::jwt::Signer;
use fwp_sandbox::moz_pay::keys::MozPayKeys;
use fwp_sandbox::serve::Settings;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// A sandbox with a card, and the keys of shop and provider.
pub struct Fixture {
    pub dir: tempfile::TempDir,
    pub sandbox: Sandbox,
    pub card: Card,
    pub keys: MozPayKeys,
}

pub fn settings(dir: &tempfile::TempDir, fails: u32) -> Settings {
    Settings { notice_retry_ms: 20, shop_fails_notices: fails, ..Sandbox::settings(dir.path()) }
}

impl Fixture {
    pub fn new() -> Self {
        Self::failing(0)
    }

    pub fn failing(fails: u32) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let sandbox = Sandbox::run(settings(&dir, fails));
        let card = sandbox.enroll(FidoKey::es256, 7).remove(0);
        let keys = MozPayKeys::read_or_make(&dir.path().join("sandbox")).unwrap();
        Self { dir, sandbox, card, keys }
    }

    pub fn post(&self, path: &str, body: &Value) -> Answered {
        http::post(&format!("{}{path}", self.sandbox.url), &[], &body.to_string()).unwrap()
    }

    /// The shop's new order: its number and JWT.
    pub fn order(&self, asked: Value) -> (String, String) {
        let answer = self.post("/shop/mozpay", &asked);
        assert_eq!((answer.status, &answer.body["payeeHost"]), (201, &"localhost".into()), "{}", answer.body);
        let text = |name: &str| answer.body[name].as_str().unwrap().to_owned();
        (text("order"), text("jwt"))
    }

    /// What a wallet's user authorizes for `jwt`, on a page of `host`, with `options` as networkOptions.
    pub fn authorize(&self, card: &Card, jwt: &str, host: &str, options: &str, count: u32) -> Value {
        card.pay(
            &payment_request(&claims(jwt), host, options, &card.credential.card.payment_network_id),
            now_ms().unwrap(),
            count,
        )
        .to_json()
    }

    pub fn deliver(&self, jwt: &str, assertion: &Value) -> Answered {
        self.post("/psp/mozpay", &json!({ "request": jwt, "fwpAssertion": assertion }))
    }

    /// Authorizes and delivers as it should be.
    pub fn pay(&self, jwt: &str, count: u32) -> Answered {
        self.deliver(jwt, &self.authorize(&self.card, jwt, "localhost", jwt, count))
    }

    pub fn order_json(&self, order: &str) -> Value {
        http::get(&format!("{}/shop/orders/{order}", self.sandbox.url)).unwrap().body
    }

    /// Waits until the order has this state.
    pub fn wait_for(&self, order: &str, state: &str) -> Value {
        let until = Instant::now() + Duration::from_secs(30);
        loop {
            let now = self.order_json(order);
            if now["state"] == state {
                return now;
            }
            assert!(Instant::now() < until, "{order} is not {state}: {now}, {}", self.notices());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn notices(&self) -> Value {
        http::get(&format!("{}/psp/notices", self.sandbox.url)).unwrap().body
    }

    /// Waits until every notice was confirmed, of which there are `count`.
    pub fn wait_for_notices(&self, count: usize) -> Value {
        let until = Instant::now() + Duration::from_secs(30);
        loop {
            let notices = self.notices();
            let all = notices.as_array().unwrap();
            if all.len() == count && all.iter().all(|notice| notice["delivered"] == true) {
                return notices;
            }
            assert!(Instant::now() < until, "{notices}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn balance(&self) -> String {
        let page = self.sandbox.page("/bank");
        let (_, rest) = page.split_once("FR7630002111110020050014382").unwrap();
        let (before, _) = rest.split_once(" EUR").unwrap();
        before.rsplit_once('>').unwrap().1.to_owned()
    }

    pub fn secret(&self) -> Vec<u8> {
        self.keys.secret(&SPACE_SHOP).unwrap().to_vec()
    }

    /// The shop's request for a new order, changed and signed again with the right secret.
    pub fn changed(&self, change: impl FnOnce(&mut Value)) -> String {
        let mut claims = claims(&self.order(json!({})).1);
        change(&mut claims);
        Signer::hs256(&self.secret()).sign(&claims).unwrap()
    }

    /// The provider's code for a request; whatever it is, nothing may be booked and no notice sent.
    pub fn refused(&self, jwt: &str, said: &str) {
        let original = self.order(json!({})).1;
        // What the user would have authorized, if the wallet had let it through.
        let host = "localhost";
        let request = payment_request(&claims(&original), host, jwt, "https://banknet2.org");
        let assertion = self.card.pay(&request, now_ms().unwrap(), 1).to_json();
        let answer = self.deliver(jwt, &assertion);
        assert_eq!(answer.body["error"], said, "{}", answer.body);
        assert!((400..500).contains(&answer.status));
        assert!(answer.body["message"].as_str().unwrap().len() > 20, "a reason: {}", answer.body);
        assert_eq!((self.balance(), self.notices()), ("10000.00".into(), json!([])));
    }

    pub fn now_s(&self) -> i64 {
        now_ms().unwrap() / 1000
    }

    /// A notice by the provider, as it should be for the order, changed.
    pub fn notice(
        &self,
        order: &str,
        transaction: &str,
        kind: &str,
        change: impl FnOnce(&mut Value),
    ) -> Value {
        let price = json!({ "amount": "435.00", "currency": "EUR" });
        let mut claims = json!({
            "iss": PROVIDER, "aud": "Space Shop", "typ": format!("sandbox/payments/pay/{kind}/v1"),
            "iat": self.now_s(), "exp": self.now_s() + 60, "jti": format!("{}", rand()),
            "request": { "id": order, "price": price },
            "response": { "transactionID": transaction, "price": price },
        });
        if kind == "chargeback" {
            claims["response"]["reason"] = "refund".into();
        }
        change(&mut claims);
        claims
    }

    pub fn signed(&self, claims: &Value) -> String {
        Signer::hs256(&self.secret()).sign(claims).unwrap()
    }

    /// The shop's answer to a form: status, and its code or the transaction.
    pub fn tell(&self, kind: &str, form: &str) -> (u16, String) {
        let url = format!("{}/shop/mozpay/{kind}", self.sandbox.url);
        let (status, text) = http::post_form(&url, "localhost", form).unwrap();
        let code = serde_json::from_str::<Value>(&text)
            .ok()
            .and_then(|body| body["error"].as_str().map(str::to_owned));
        (status, code.unwrap_or(text))
    }

    pub fn tell_notice(&self, kind: &str, claims: &Value) -> (u16, String) {
        self.tell(kind, &format!("notice={}", self.signed(claims)))
    }
}

pub fn rand() -> u64 {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).unwrap();
    u64::from_le_bytes(bytes)
}

pub fn claims(jwt: &str) -> Value {
    let payload = jwt.split('.').nth(1).unwrap();
    serde_json::from_slice(&data_encoding::BASE64URL_NOPAD.decode(payload.as_bytes()).unwrap()).unwrap()
}

/// A JWT of these parts, with a signature of the right length.
pub fn raw(header: &str, payload: &str, signature: usize) -> String {
    let encode = |bytes: &[u8]| data_encoding::BASE64URL_NOPAD.encode(bytes);
    format!("{}.{}.{}", encode(header.as_bytes()), encode(payload.as_bytes()), encode(&vec![7; signature]))
}

/// The payment that a wallet makes of a request: PRCD from its claims, networkOptions the JWT.
pub fn payment_request(claims: &Value, host: &str, options: &str, network: &str) -> PaymentRequest {
    let (request, price) = (&claims["request"], &claims["request"]["price"]);
    let method_data = json!([{ "supportedMethods": "fido-web-pay/v1", "data": {
        "payeeName": claims["iss"], "networks": [{ "id": network, "networkOptions": options }],
    } }]);
    let details = json!({ "id": request["id"], "total": { "label": null, "amount": { "currency": price["currency"], "value": price["amount"] } } });
    PaymentRequest::from_json(host, &method_data.to_string(), &details.to_string()).unwrap()
}
