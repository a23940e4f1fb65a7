//! The way to the bank: bounded, on one origin, with certificates that are checked.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use fwpctl::http::{Error, get, post};
use fwpctl::origin::OfferUrl;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::{Command, Output};
use std::sync::Arc;
use std::thread;

/// A server that answers each request by `answer` of its first line and body; its port.
fn serve(answer: impl Fn(&str, &str) -> Vec<u8> + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            respond(stream.unwrap(), &answer);
        }
    });
    port
}

/// The same over TLS, with a fresh certificate for localhost, which is answered too, as PEM.
fn serve_tls(answer: impl Fn(&str, &str) -> Vec<u8> + Send + 'static) -> (u16, String) {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            respond(rustls::StreamOwned::new(connection, stream.unwrap()), &answer);
        }
    });
    (port, certified.cert.pem())
}

/// One request, one answer. A client that goes away, such as one that doesn't like the certificate, is no failure.
fn respond(stream: impl Read + Write, answer: &impl Fn(&str, &str) -> Vec<u8>) {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    if reader.read_line(&mut first).is_err() {
        return;
    }
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) <= 2 {
            break;
        }
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    let _ = reader.read_exact(&mut body);
    let answer = answer(first.trim(), &String::from_utf8(body).unwrap());
    let _ = reader.get_mut().write_all(&answer);
    let _ = reader.get_mut().flush();
}

fn ok(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
        .into_bytes()
}

fn redirect(to: &str) -> Vec<u8> {
    format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        .into_bytes()
}

fn url(port: u16, path: &str) -> OfferUrl {
    OfferUrl::parse(&format!("http://localhost:{port}{path}")).unwrap()
}

#[test]
fn an_offer_is_fetched_and_an_attestation_posted() {
    let port = serve(|line, body| ok(&format!("{line}|{body}")));
    assert_eq!(get(&url(port, "/offer?x=1#y"), 100).unwrap(), "GET /offer?x=1 HTTP/1.1|");
    assert_eq!(post(&url(port, "/attest"), "{\"a\":1}", 100).unwrap(), "POST /attest HTTP/1.1|{\"a\":1}");
}

#[test]
fn a_redirection_within_the_origin_is_followed_and_no_other() {
    let elsewhere = serve(|_, _| panic!("nobody may come here"));
    let port = serve(move |line, _| match line.split(' ').nth(1).unwrap() {
        "/moved" => redirect("/offer"),
        "/offer" => ok("here"),
        "/loop" => redirect("/loop"),
        "/port" => redirect(&format!("http://localhost:{elsewhere}/offer")),
        "/nowhere" => redirect(""),
        _ => redirect("http://evil.example/offer"),
    });
    assert_eq!(get(&url(port, "/moved"), 100).unwrap(), "here");
    assert!(matches!(get(&url(port, "/loop"), 100), Err(Error::TooManyRedirections { .. })));
    for path in ["/port", "/away"] {
        assert!(matches!(get(&url(port, path), 100), Err(Error::Redirection { .. })), "{path}");
    }
    assert!(matches!(post(&url(port, "/moved"), "{}", 100), Err(Error::Status { status: 302, .. })));
}

#[test]
fn an_answer_that_is_too_large_or_no_text_is_refused() {
    let port = serve(|line, _| {
        if line.contains("/binary") { b"HTTP/1.1 200 OK\r\n\r\n\xff".to_vec() } else { ok(&"x".repeat(101)) }
    });
    assert!(matches!(get(&url(port, "/large"), 100), Err(Error::TooLarge { limit: 100, .. })));
    assert_eq!(get(&url(port, "/large"), 101).unwrap().len(), 101);
    assert!(matches!(get(&url(port, "/binary"), 100), Err(Error::NotText { .. })));
}

#[test]
fn what_the_server_complains_of_is_told_but_not_obeyed() {
    let port = serve(|_, _| b"HTTP/1.1 410 Gone\r\n\r\nThe offer is \x1b[31mused up".to_vec());
    let error = get(&url(port, "/"), 100).unwrap_err().to_string();
    assert_eq!(
        error,
        format!("http://localhost:{port} refused: status 410: The offer is \\u{{1b}}[31mused up")
    );
}

#[test]
fn an_empty_or_broken_answer_is_an_error_of_the_network() {
    let port = serve(|_, _| Vec::new());
    assert!(matches!(get(&url(port, "/"), 100), Err(Error::Unreachable { .. })));
    let port = serve(|_, _| b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf".to_vec());
    assert!(matches!(get(&url(port, "/"), 100), Err(Error::Unreachable { .. })));
}

fn enroll(port: u16, roots: &std::path::Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_fwpctl"))
        .args(["enroll", &format!("https://localhost:{port}/offer")])
        .env("SSL_CERT_FILE", roots)
        .env_remove("SSL_CERT_DIR")
        .output()
        .unwrap()
}

#[test]
fn https_trusts_the_systems_certificates_and_nothing_else() {
    // An offer with a foreign rpId: that it is read at all shows that the connection was good.
    let offer = r#"{"version":"fwpd-enrollment/1","rpId":"mybank.fr","rpName":"My Bank","userId":"AAECAw","userName":"Ada",
        "challenge":"AAECAwQFBgcICQoLDA0ODw","algorithms":[-7],"attestationUrl":"/attest"}"#;
    let (port, certificate) = serve_tls(move |_, _| ok(offer));
    let (_, other_certificate) = serve_tls(|_, _| ok(""));
    let dir = tempfile::tempdir().unwrap();
    let (good, bad) = (dir.path().join("good.pem"), dir.path().join("bad.pem"));
    std::fs::write(&good, certificate).unwrap();
    std::fs::write(&bad, other_certificate).unwrap();

    let refused = enroll(port, &good);
    let message = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(7), "{message}");
    assert!(message.contains("\"mybank.fr\" is neither its host localhost"), "{message}");

    let refused = enroll(port, &bad);
    let message = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(12), "{message}");
    assert!(message.contains("certificate"), "{message}");
}
