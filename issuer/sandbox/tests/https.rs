//! HTTPS: the same sandbox, under a certificate.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::FidoKey;
use common::server::Sandbox;
use fwp::PaymentRequest;
use fwp_sandbox::http;
use fwp_sandbox::serve::{Server, Settings};
use fwp_sandbox::tls::HttpsSettings;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

fn https(dir: &Path) -> HttpsSettings {
    let names = ["localhost", "spaceshop.com"].map(str::to_owned);
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let (certificate, key) = (dir.join("cert.pem"), dir.join("key.pem"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    HttpsSettings { listen: "127.0.0.1:0".parse().unwrap(), certificate, key }
}

/// What `host` answers to a request of these lines, over TLS verified against its certificate.
fn ask(sandbox: &Sandbox, https: &HttpsSettings, host: &str, request: &str) -> String {
    let port: u16 = sandbox.https_url.as_ref().unwrap().rsplit_once(':').unwrap().1.parse().unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&https.certificate).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = StreamOwned::new(connection, TcpStream::connect(("127.0.0.1", port)).unwrap());
    let request = request.replace("HOST", &format!("{host}:{port}"));
    stream.write_all(request.replace('\n', "\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn pages_orders_and_offers_come_over_https_and_say_so() {
    let dir = tempfile::tempdir().unwrap();
    let https = https(dir.path());
    let sandbox = Sandbox::run(Settings { https: Some(https.clone()), ..Sandbox::settings(dir.path()) });
    let page =
        ask(&sandbox, &https, "spaceshop.com", "GET /shop HTTP/1.1\nhost: HOST\nconnection: close\n\n");
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("id=\"buy\""), "{page}");

    let order = |origin: &str| {
        let request = format!(
            "POST /shop/orders HTTP/1.1\nhost: HOST\norigin: {origin}\ncontent-length: 2\nconnection: close\n\n{{}}"
        );
        ask(&sandbox, &https, "spaceshop.com", &request)
    };
    let taken = order("https://HOST");
    assert!(
        taken.starts_with("HTTP/1.1 201") && taken.contains("\"payeeHost\":\"spaceshop.com\""),
        "{taken}"
    );
    assert!(order("http://HOST").starts_with("HTTP/1.1 403"), "another scheme is another origin");

    let request = "GET /bank/offer HTTP/1.1\nhost: HOST\nconnection: close\n\n";
    let offer = ask(&sandbox, &https, "localhost", request);
    let url = sandbox.https_url.clone().unwrap();
    assert!(offer.contains(&format!("\"attestationUrl\":\"{url}/bank/attestation\"")), "{offer}");
    let offer = http::get(&format!("{}/bank/offer", sandbox.url)).unwrap().body;
    assert_eq!(offer["attestationUrl"], format!("{}/bank/attestation", sandbox.url));
}

#[test]
fn a_mozpay_request_of_a_page_over_https_is_for_that_host_and_its_notice_arrives() {
    let dir = tempfile::tempdir().unwrap();
    let https = https(dir.path());
    let sandbox = Sandbox::run(Settings { https: Some(https.clone()), ..Sandbox::settings(dir.path()) });
    let card = sandbox.enroll(FidoKey::es256, 7).remove(0);
    let request = "POST /shop/mozpay HTTP/1.1\nhost: HOST\norigin: https://HOST\ncontent-length: 2\nconnection: close\n\n{}";
    let answer = ask(&sandbox, &https, "spaceshop.com", request);
    let asked: Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
    let (jwt, order) = (asked["jwt"].as_str().unwrap(), asked["order"].as_str().unwrap());
    let payload = data_encoding::BASE64URL_NOPAD.decode(jwt.split('.').nth(1).unwrap().as_bytes()).unwrap();
    let claims: Value = serde_json::from_slice(&payload).unwrap();
    let origin = sandbox.https_url.as_ref().unwrap().replace("localhost", "spaceshop.com");
    assert_eq!(claims["request"]["postbackURL"], format!("{origin}/shop/mozpay/postback"));

    let pay = |host: &str, count: u32| {
        let network = &card.credential.card.payment_network_id;
        let method_data = json!([{ "supportedMethods": "fido-web-pay/v1", "data": {
            "payeeName": "Space Shop", "networks": [{ "id": network, "networkOptions": jwt }] } }]);
        let amount = json!({ "currency": "EUR", "value": "435.00" });
        let details = json!({ "id": order, "total": { "label": null, "amount": amount } });
        let request =
            PaymentRequest::from_json(host, &method_data.to_string(), &details.to_string()).unwrap();
        let assertion = card.pay(&request, http::now_ms().unwrap(), count).to_json();
        let delivery = json!({ "request": jwt, "fwpAssertion": assertion });
        http::post(&format!("{}/psp/mozpay", sandbox.url), &[], &delivery.to_string()).unwrap().body
    };
    assert_eq!(pay("localhost", 1)["error"], "payee-host", "authorized on a page of another host");
    assert_eq!(pay("spaceshop.com", 2)["status"], "booked");
    let shown = || http::get(&format!("{}/shop/orders/{order}", sandbox.url)).unwrap().body;
    let begun = std::time::Instant::now();
    while shown()["state"] != "booked" {
        assert!(begun.elapsed().as_secs() < 30, "{}", shown());
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

#[test]
fn who_is_slow_to_shake_hands_holds_up_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let https = https(dir.path());
    let sandbox = Sandbox::run(Settings { https: Some(https.clone()), ..Sandbox::settings(dir.path()) });
    let port: u16 = sandbox.https_url.as_ref().unwrap().rsplit_once(':').unwrap().1.parse().unwrap();
    let silent: Vec<_> = (0..8).map(|_| TcpStream::connect(("127.0.0.1", port)).unwrap()).collect();
    let mut wrong = TcpStream::connect(("127.0.0.1", port)).unwrap();
    wrong.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let begun = std::time::Instant::now();
    let page = ask(&sandbox, &https, "localhost", "GET / HTTP/1.1\nhost: HOST\nconnection: close\n\n");
    assert!(page.starts_with("HTTP/1.1 200"), "{page}");
    assert!(begun.elapsed().as_secs() < 5, "{:?}", begun.elapsed());
    drop(silent);
}

#[test]
fn what_is_no_certificate_or_not_on_loopback_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let good = https(dir.path());
    let other = dir.path().join("other");
    std::fs::create_dir(&other).unwrap();
    let other = https(&other);
    let start = |https: HttpsSettings| {
        let settings = Settings { https: Some(https), ..Sandbox::settings(dir.path()) };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(Server::start(&settings)).unwrap_err().to_string()
    };
    let wrong = start(HttpsSettings { certificate: dir.path().join("none"), ..good.clone() });
    assert!(wrong.contains("none: No such file"), "{wrong}");
    let wrong = start(HttpsSettings { key: good.certificate.clone(), ..good.clone() });
    assert!(wrong.contains("cert.pem") && wrong.contains("--tls-key"), "{wrong}");
    let wrong = start(HttpsSettings { key: other.key, ..good.clone() });
    assert!(wrong.contains("--tls-key its private key"), "the key of another certificate: {wrong}");
    let wrong = start(HttpsSettings { listen: "0.0.0.0:0".parse().unwrap(), ..good });
    assert!(wrong.contains("not on loopback"), "{wrong}");
}
