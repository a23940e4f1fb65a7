//! Several merchants: each is checked against what is registered for it, and pages are served under their own names only.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::FidoKey;
use common::server::Sandbox;
use fwp::PaymentRequest;
use fwp_sandbox::http::{self, Answered, now_ms};
use serde_json::{Value, json};

/// A running sandbox, and calls as a page of a host makes them.
struct Site {
    sandbox: Sandbox,
    _dir: tempfile::TempDir,
}

impl Site {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { sandbox: Sandbox::start(dir.path()), _dir: dir }
    }

    fn port(&self) -> &str {
        self.sandbox.url.rsplit_once(':').unwrap().1
    }

    fn post(&self, host: &str, path: &str, body: &Value) -> Answered {
        let called = format!("{host}:{}", self.port());
        self.post_from(host, &format!("http://{called}"), path, body)
    }

    fn post_from(&self, host: &str, origin: &str, path: &str, body: &Value) -> Answered {
        let called = format!("{host}:{}", self.port());
        let headers = [("host", called.as_str()), ("origin", origin)];
        http::post(&format!("{}{path}", self.sandbox.url), &headers, &body.to_string()).unwrap()
    }

    /// An order put in on a page of `host`, and its request.
    fn order(&self, host: &str, path: &str) -> (String, PaymentRequest) {
        let taken = self.post(host, &format!("{path}/orders"), &json!({ "amount": "1.00" }));
        assert_eq!(taken.status, 201, "{}", taken.body);
        let request = &taken.body["request"];
        assert_eq!(request["payeeHost"], host);
        let method_data = request["methodData"].to_string();
        let parsed = PaymentRequest::from_json(host, &method_data, &request["details"].to_string());
        (taken.body["order"].as_str().unwrap().to_owned(), parsed.unwrap())
    }

    fn attack(&self, request: &PaymentRequest, change: impl FnOnce(&mut Value), assertion: &Value) -> Value {
        let mut attack = json!({
            "payeeHost": "moonshop.example",
            "paymentRequest": request.prcd().to_json(),
            "fwpAssertion": assertion,
        });
        change(&mut attack);
        self.post("moonshop.example", "/moon/attack", &attack).body
    }
}

fn by_and_error(answer: &Value) -> (&str, &str) {
    (answer["by"].as_str().unwrap_or("nobody"), answer["error"].as_str().unwrap_or("nothing"))
}

#[test]
fn both_merchants_are_paid_under_each_of_their_hosts() {
    let site = Site::new();
    let card = site.sandbox.enroll(FidoKey::es256, 7).remove(0);
    let hosts = ["spaceshop.com", "spaceshop.localhost", "localhost"].map(|host| (host, "/shop"));
    let moon = ["moonshop.example", "moonshop.localhost"].map(|host| (host, "/moon"));
    for (count, (host, path)) in hosts.into_iter().chain(moon).enumerate() {
        let (order, request) = site.order(host, path);
        let assertion = card.pay(&request, now_ms().unwrap(), count as u32 + 1);
        let paid = site.post(host, &format!("{path}/orders/{order}/payment"), &assertion.to_json());
        assert_eq!(paid.body["status"], "booked", "{host}: {}", paid.body);
        let state = http::get(&format!("http://127.0.0.1:{}{path}/orders/{order}", site.port())).unwrap();
        assert_eq!(state.body["state"], "booked");
    }
    let bank = site.sandbox.page("/bank");
    assert!(bank.contains("sandbox-psp/space-shop") && bank.contains("sandbox-psp/moon-shop"), "{bank}");
}

#[test]
fn the_moon_shop_claiming_the_space_shops_name_is_refused_by_the_psp() {
    let site = Site::new();
    let card = site.sandbox.enroll(FidoKey::es256, 7).remove(0);
    let (_, request) = site.order("moonshop.example", "/moon");
    let method_data = json!([{ "supportedMethods": "fido-web-pay/v1", "data": {
        "payeeName": "Space Shop", "networks": [{ "id": "https://banknet2.org" }],
    } }]);
    let details = json!({ "id": request.prcd().request_id, "total": { "label": null, "amount": { "currency": "EUR", "value": "1.00" } } });
    let claimed =
        PaymentRequest::from_json("moonshop.example", &method_data.to_string(), &details.to_string())
            .unwrap();
    let assertion = card.pay(&claimed, now_ms().unwrap(), 1).to_json();
    let answer = site.attack(&claimed, |_| {}, &assertion);
    assert_eq!(by_and_error(&answer), ("psp", "payee-name"));
    // Under its own name, the bank sees that the user authorized another.
    let own = |attack: &mut Value| attack["paymentRequest"]["payeeName"] = "Moon Shop".into();
    assert_eq!(by_and_error(&site.attack(&claimed, own, &assertion)), ("bank", "payment-request"));
}

#[test]
fn the_moon_shop_delivering_the_space_shops_authorization_is_refused_whatever_it_says() {
    let site = Site::new();
    let card = site.sandbox.enroll(FidoKey::es256, 7).remove(0);
    let (order, request) = site.order("spaceshop.com", "/shop");
    let assertion = card.pay(&request, now_ms().unwrap(), 1).to_json();
    // To the letter.
    assert_eq!(by_and_error(&site.attack(&request, |_| {}, &assertion)), ("psp", "payee-name"));
    // As its own request.
    let own = |attack: &mut Value| attack["paymentRequest"]["payeeName"] = "Moon Shop".into();
    assert_eq!(by_and_error(&site.attack(&request, own, &assertion)), ("bank", "payment-request"));
    // As if the user had been at the Space Shop.
    let elsewhere = |attack: &mut Value| {
        own(attack);
        attack["payeeHost"] = "spaceshop.com".into();
    };
    assert_eq!(by_and_error(&site.attack(&request, elsewhere, &assertion)), ("psp", "merchant-host"));
    // To the Space Shop's account, or from it.
    let account = |attack: &mut Value| {
        own(attack);
        attack["receiveAccount"] = "DE89370400440532013000".into();
    };
    assert_eq!(by_and_error(&site.attack(&request, account, &assertion)), ("psp", "receive-account"));
    // None of it used the authorization up.
    let paid = site.post("spaceshop.com", &format!("/shop/orders/{order}/payment"), &assertion);
    assert_eq!(paid.body["status"], "booked", "{}", paid.body);
}

#[test]
fn what_the_user_authorized_on_one_host_of_a_merchant_is_not_taken_for_another() {
    let site = Site::new();
    let card = site.sandbox.enroll(FidoKey::es256, 7).remove(0);
    let (_, request) = site.order("moonshop.example", "/moon");
    let assertion = card.pay(&request, now_ms().unwrap(), 1).to_json();
    let other = |attack: &mut Value| attack["payeeHost"] = "moonshop.localhost".into();
    assert_eq!(by_and_error(&site.attack(&request, other, &assertion)), ("bank", "payee-host"));
}

#[test]
fn each_site_is_under_its_own_names_only() {
    let site = Site::new();
    for (host, path) in [
        ("moonshop.example", "/shop/orders"),
        ("localhost", "/moon/orders"),
        ("spaceshop.com", "/moon/attack"),
        ("spaceshop.com", "/bank/attestation"),
        ("moonshop.localhost", "/bank/attestation"),
        ("www.spaceshop.com", "/shop/orders"),
        ("evil.example", "/psp/mozpay"),
    ] {
        let answer = site.post(host, path, &json!({}));
        assert_eq!((answer.status, &answer.body["error"]), (421, &"host".into()), "{host}{path}");
    }
    // A page that calls the machine by its address has no host that is registered.
    assert_eq!(site.post("127.0.0.1", "/shop/orders", &json!({})).status, 421);
}

#[test]
fn pages_of_other_origins_may_not_send_anything() {
    let site = Site::new();
    let port = site.port().to_owned();
    for origin in [
        "https://evil.example".to_owned(),
        "null".to_owned(),
        format!("http://moonshop.localhost:{port}"),
        format!("https://localhost:{port}"),
        "http://localhost:1".to_owned(),
    ] {
        for path in [
            "/shop/orders",
            "/shop/mozpay",
            "/shop/orders/7040566321/refund",
            "/bank/attestation",
            "/psp/payments",
        ] {
            let answer = site.post_from("localhost", &origin, path, &json!({}));
            assert_eq!((answer.status, &answer.body["error"]), (403, &"origin".into()), "{origin} {path}");
        }
    }
}

#[test]
fn pages_have_what_browser_tests_look_for_and_a_policy_without_inline_scripts() {
    let site = Site::new();
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let page = |host: &str, path: &str| {
        let request = agent.get(format!("{}{path}", site.sandbox.url)).header("accept", "text/html");
        let mut answer = request.header("host", format!("{host}:{}", site.port())).call().unwrap();
        assert_eq!(answer.status().as_u16(), 200, "{path}");
        let policy = answer.headers()["content-security-policy"].to_str().unwrap().to_owned();
        (answer.body_mut().read_to_string().unwrap(), policy)
    };
    let order = site.order("localhost", "/shop").0;
    let order = format!("/shop/orders/{order}");
    for (host, path, ids) in [
        ("localhost", "/shop", &["buy", "mozpay", "mozpay-signed", "error"][..]),
        ("localhost", &order, &["state"][..]),
        (
            "moonshop.localhost",
            "/moon",
            &["retry-second-card", "duplicate-method", "duplicate-network", "other-name", "outcome"][..],
        ),
        ("localhost", "/bank/enroll", &["enroll", "state", "error"][..]),
    ] {
        let (html, policy) = page(host, path);
        for id in ids {
            assert!(html.contains(&format!("id=\"{id}\"")), "{path} #{id}");
        }
        assert!(policy.contains("script-src 'self'") && !policy.contains("unsafe"), "{policy}");
        assert!(
            !html.contains("<style") && !html.contains("onclick") && !html.contains("<script>"),
            "{path}"
        );
    }
    assert!(page("localhost", &order).0.contains("data-state=\"open\""));
    let (_, policy) = page("localhost", "/bank");
    assert!(!policy.contains("script-src") && policy.contains("default-src 'none'"), "{policy}");
}
