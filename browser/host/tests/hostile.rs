//! Callers that may not, frames that break the rules, and floods.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::{HOST, Host, ORIGIN, Stage, origin_of_the_extension};
use fwp_native_host::frame::{MAX_MESSAGE, encode};
use serde_json::{Value, json};
use std::process::{Command, Stdio};
use tokio::io::AsyncWriteExt;

#[test]
fn who_is_not_the_wallets_extension_gets_not_one_byte() {
    let stranger = "chrome-extension://aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/";
    for arguments in [&[][..], &[stranger], &["/x.json", "other@example.org"], &["--help"]] {
        let output = Command::new(HOST).args(arguments).stdin(Stdio::null()).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.starts_with("fwp-native-host: ") && !said.contains("aaaa"), "{said}");
    }
}

#[test]
fn both_browsers_extension_is_served_and_the_end_of_input_is_the_end() {
    let origin = origin_of_the_extension();
    for arguments in [&[origin.as_str()][..], &["/home/me/x.json", "wallet@fwpd.github.io"]] {
        let output = Command::new(HOST).args(arguments).stdin(Stdio::null()).output().unwrap();
        assert!(
            output.status.success() && output.stdout.is_empty() && output.stderr.is_empty(),
            "{output:?}"
        );
    }
}

#[tokio::test]
async fn hello_comes_first_and_once() {
    let mut host = Host::start(&[]);
    assert_eq!(host.bad("canMakePayment", json!({"origin": ORIGIN})).await, "fwp-host.InvalidMessage");
    let hello = json!({"protocol": 1, "browser": {"name": "Firefox", "version": "153.0"}});
    let mut later = hello.clone();
    later["protocol"] = json!(2);
    assert_eq!(host.bad("hello", later).await, "fwp-host.InvalidMessage");
    host.good("hello", hello.clone()).await;
    assert_eq!(host.bad("hello", hello).await, "fwp-host.InvalidMessage");
    assert_eq!(host.bad("canMakePayment", json!({"origin": ORIGIN})).await, "fwp-host.NotRunning");
}

#[tokio::test]
async fn a_message_that_breaks_the_rules_is_answered_and_the_next_one_is_read() {
    let mut host = Host::start(&[]);
    host.hello().await;
    let broken: [&[u8]; 7] = [b"", b"null", b"[1]", b"{}", b"\xff\xfe\xfd", b"{\"id\":1", &[b'['; 100_000]];
    for message in broken {
        host.write(&encode(message).unwrap()).await;
        let answer = host.next().await;
        assert_eq!(
            (&answer["id"], &answer["error"]["name"]),
            (&Value::Null, &json!("fwp-host.InvalidMessage"))
        );
    }
    for (method, params, name) in [
        ("canMakePayment", json!({"origin": "null"}), "fwp-host.Refused"),
        ("canMakePayment", json!({"origin": "http://spaceshop.com"}), "fwp-host.Refused"),
        ("canMakePayment", json!({}), "fwp-host.InvalidMessage"),
        ("show", json!({"payment": "p1"}), "fwp-host.Unknown"),
        ("show", json!({"payment": "e1"}), "fwp-host.InvalidMessage"),
        ("cancelEnrollment", json!({"enrollment": "e1"}), "fwp-host.Unknown"),
        ("history", json!({}), "fwp-host.InvalidMessage"),
    ] {
        assert_eq!(host.bad(method, params).await, name, "{method}");
    }
}

#[tokio::test]
async fn a_message_that_is_too_large_is_told_skipped_and_survived() {
    let mut host = Host::start(&[]);
    host.hello().await;
    let length = u32::try_from(MAX_MESSAGE + 1).unwrap();
    host.write(&length.to_ne_bytes()).await;
    let answer = host.next().await;
    assert_eq!((&answer["id"], &answer["error"]["name"]), (&Value::Null, &json!("fwp-host.TooLarge")));
    // What looks like a request in there is none.
    let inside = encode(br#"{"id":9,"method":"status","params":{}}"#).unwrap();
    let mut skipped = inside.repeat(MAX_MESSAGE / inside.len() + 1);
    skipped.truncate(MAX_MESSAGE + 1);
    host.write(&skipped).await;
    assert_eq!(host.bad("status", json!({})).await, "fwp-host.NotRunning");
}

#[tokio::test]
async fn a_stream_that_ends_in_a_frame_ends_the_host() {
    for cut in [1, 3, 4, 10] {
        let mut host = Host::start(&[]);
        let frame = encode(br#"{"id":1,"method":"status","params":{}}"#).unwrap();
        host.write(&frame[..cut]).await;
        let (rest, status) = host.end().await;
        assert!(rest.is_empty() && status.success(), "{cut}");
    }
    // A length of 4 GiB and its end.
    let mut host = Host::start(&[]);
    host.write(&[0xff; 4]).await;
    assert_eq!(host.next().await["error"]["name"], "fwp-host.TooLarge");
    let (rest, status) = host.end().await;
    assert!(rest.is_empty() && status.success());
}

#[tokio::test]
async fn a_flood_waits_in_the_pipe_and_not_in_memory() {
    let stage = Stage::new().await;
    let mut host = stage.host().await;
    let (count, before) = (64, host.status("status", "VmRSS:"));
    // Each is refused by the daemon, after a way through everything.
    let message = json!({"id": 1, "method": "createPayment", "params": {
        "origin": ORIGIN, "methodData": "[".repeat(1 << 20), "details": "{}"
    }});
    let frame = encode_any(message.to_string().as_bytes());
    let mut input = host.input.take().unwrap();
    let writer = tokio::spawn(async move {
        for _ in 0..count {
            input.write_all(&frame).await.unwrap();
        }
        input
    });
    // Nobody reads for a while: the writer has to wait.
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    assert!(!writer.is_finished(), "{count} MiB went in, and nobody took an answer");
    for _ in 0..count {
        assert_eq!(host.next().await["error"]["name"], "io.github.fwpd.Error.InvalidRequest");
    }
    host.input = Some(writer.await.unwrap());
    let peak = host.status("status", "VmHWM:");
    println!("{} KiB before, {} KiB at most", before >> 10, peak >> 10);
    assert!(peak < before + (24 << 20), "{} KiB for {count} MiB of requests", peak >> 10);
}

/// As the browser frames it: it may be longer than what a host may say.
fn encode_any(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap();
    [&length.to_ne_bytes()[..], message].concat()
}
