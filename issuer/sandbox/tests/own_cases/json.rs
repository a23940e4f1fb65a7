//! The envelope's JSON: syntax, attributes, types, forms, and what must be the same as in the SAD.

use crate::builder::{Case, Fido, Want, case, envelope, sample_sad, usual};
use serde_json::{Value, json};

const ENVELOPE: Want = Want::Reject(&["envelope"]);
const BASE64: Want = Want::Reject(&["base64url"]);

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    attributes(&mut cases);
    syntax(&mut cases);
    base64(&mut cases);
    forms(&mut cases);
    same(&mut cases);
    cases
}

fn sample() -> Value {
    let sad = sample_sad(Fido::Es256);
    envelope(&usual().esad(&sad.encode()).encode(), &sad)
}

fn line(text: &str) -> String {
    usual().line_with(text)
}

/// The sample with what is at the pointer replaced.
fn with(pointer: &str, value: Value) -> String {
    let mut request = sample();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    request.pointer_mut(parent).unwrap()[name] = value;
    line(&request.to_string())
}

fn pointers(prefix: &str, value: &Value, out: &mut Vec<String>) {
    for (name, value) in value.as_object().into_iter().flatten() {
        let pointer = format!("{prefix}/{name}");
        pointers(&pointer, value, out);
        out.push(pointer);
    }
}

fn attributes(cases: &mut Vec<Case>) {
    let mut all = Vec::new();
    pointers("", &sample(), &mut all);
    for pointer in &all {
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        let mut missing = sample();
        missing.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(name);
        cases.push(case(format!("without {pointer}"), line(&missing.to_string()), ENVELOPE));
        for value in [Value::Null, json!(1), json!(1.5), json!(true), json!([]), json!(["x"])] {
            cases.push(case(format!("{pointer} is {value}"), with(pointer, value), ENVELOPE));
        }
        let value = sample().pointer(pointer).unwrap().clone();
        let other = if value.is_object() { json!("x") } else { json!({}) };
        cases.push(case(format!("{pointer} is {other}"), with(pointer, other), ENVELOPE));
        for other in [name.to_uppercase(), format!("{name} "), format!("{name}s")] {
            let mut renamed = sample();
            let object = renamed.pointer_mut(parent).unwrap().as_object_mut().unwrap();
            let value = object.remove(name).unwrap();
            object.insert(other.clone(), value);
            cases.push(case(format!("{pointer} called {other:?}"), line(&renamed.to_string()), ENVELOPE));
        }
        // The same attribute twice, with the same and with another value, also written with an escape.
        let quoted = format!("\"{name}\":");
        let text = sample().to_string();
        for twice in [
            format!("\"{name}\":{value},"),
            format!("\"{name}\":null,"),
            format!("\"\\u{:04x}{}\":{value},", name.as_bytes()[0], &name[1..]),
        ] {
            // timeStamp stands in both envelopes; the last one is the outer.
            let at = if parent.is_empty() { text.rfind(&quoted) } else { text.find(&quoted) }.unwrap();
            let text = format!("{}{twice}{}", &text[..at], &text[at..]);
            cases.push(case(
                format!("{pointer} twice: {}", &twice[..twice.len().min(40)]),
                line(&text),
                ENVELOPE,
            ));
        }
    }
    for parent in ["", "/pspRequest", "/pspRequest/paymentRequest", "/pspRequest/fwpAssertion"] {
        for (name, value) in [
            ("x", json!(1)),
            ("", json!("")),
            ("constructor", json!({})),
            ("__proto__", json!({})),
            ("payeeHost2", Value::Null),
        ] {
            cases.push(case(
                format!("{name:?} in {parent:?}"),
                with(&format!("{parent}/{name}"), value),
                ENVELOPE,
            ));
        }
    }
}

fn syntax(cases: &mut Vec<Case>) {
    let text = sample().to_string();
    let inner = text.strip_prefix('{').unwrap().strip_suffix('}').unwrap();
    let name = "\"Space Shop\"";
    for (what, text, want) in [
        (
            "blanks everywhere",
            text.replace(':', " :\t\r\n")
                .replace("https :\t\r\n", "https:")
                .replace("09 :\t\r\n14 :\t\r\n", "09:14:"),
            Want::Accept,
        ),
        ("pretty", serde_json::to_string_pretty(&sample()).unwrap(), Want::Accept),
        ("a name in escapes", text.replace(name, "\"\\u0053pace\\u0020Shop\""), Want::Accept),
        ("a slash as an escape", text.replace("https://", "https:\\/\\/"), Want::Accept),
        (
            "an attribute's name in escapes",
            text.replace("\"payeeName\"", "\"payee\\u004eame\""),
            Want::Accept,
        ),
        ("a comma after the last", format!("{{{inner},}}"), ENVELOPE),
        ("a comment", format!("/**/{text}"), ENVELOPE),
        ("a comment at the end", format!("{text}//x"), ENVELOPE),
        ("a byte order mark", format!("\u{feff}{text}"), ENVELOPE),
        ("a no-break space", format!("\u{a0}{text}"), ENVELOPE),
        ("two values", format!("{text}{text}"), ENVELOPE),
        ("something after it", format!("{text}x"), ENVELOPE),
        ("a NUL after it", format!("{text}\u{0}"), ENVELOPE),
        ("cut off", text[..text.len() - 1].to_owned(), ENVELOPE),
        ("single quotes", text.replace('"', "'"), ENVELOPE),
        ("names without quotes", text.replace("\"payeeHost\"", "payeeHost"), ENVELOPE),
        ("an array around it", format!("[{text}]"), ENVELOPE),
        ("text around it", Value::from(text.clone()).to_string(), ENVELOPE),
        ("empty", String::new(), ENVELOPE),
        ("blanks", "  ".to_owned(), ENVELOPE),
        ("null", "null".to_owned(), ENVELOPE),
        ("a lone high surrogate", text.replace(name, "\"\\ud800\""), ENVELOPE),
        ("a lone low surrogate", text.replace(name, "\"\\udc00\""), ENVELOPE),
        ("surrogates the wrong way round", text.replace(name, "\"\\udc00\\ud800\""), ENVELOPE),
        ("a high surrogate before text", text.replace(name, "\"\\ud800x\""), ENVELOPE),
        ("an unknown escape", text.replace(name, "\"\\x53\""), ENVELOPE),
        ("a short escape", text.replace(name, "\"\\u053\""), ENVELOPE),
        ("a line feed in text", text.replace(name, "\"Space\nShop\""), ENVELOPE),
        ("a NUL in text", text.replace(name, "\"Space\u{0}Shop\""), ENVELOPE),
        ("NaN", text.replace(name, "NaN"), ENVELOPE),
        ("undefined", text.replace(name, "undefined"), ENVELOPE),
        ("100000 arrays", "[".repeat(100_000), ENVELOPE),
        ("100000 objects", "{\"a\":".repeat(100_000), ENVELOPE),
        (
            "100000 arrays in an unknown attribute",
            format!("{{\"x\":{}{},{inner}}}", "[".repeat(100_000), "]".repeat(100_000)),
            ENVELOPE,
        ),
        ("a number of 100000 digits", format!("{{\"x\":{},{inner}}}", "9".repeat(100_000)), ENVELOPE),
        ("a number with an exponent beyond all", format!("{{\"x\":1e999999,{inner}}}"), ENVELOPE),
        ("5 MB of blanks", format!("{}{text}", " ".repeat(5_000_000)), ENVELOPE),
    ] {
        cases.push(case(what, line(&text), want));
    }
    // The request as JSON in the line, not as text.
    let keys = usual().issuer_keys();
    let object = format!("{{\"id\":\"x\",\"issuerKeys\":{keys},\"issuerRequest\":{text}}}");
    cases.push(case("as JSON", object, Want::Accept));
    let twice = format!(
        "{{\"id\":\"x\",\"issuerKeys\":{keys},\"issuerRequest\":{{\"payeeHost\":\"spaceshop.com\",{inner}}}}}"
    );
    cases.push(case("as JSON, an attribute twice", twice, ENVELOPE));
}

fn base64(cases: &mut Vec<Case>) {
    let pointer = "/pspRequest/fwpAssertion/userAuthorization";
    let good = sample().pointer(pointer).unwrap().as_str().unwrap().to_owned();
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let strays: Vec<String> = match good.len() % 4 {
        // The last letter has bits that belong to no byte; with them set, the bytes are the same.
        2 | 3 => {
            let last = alphabet.find(good.chars().last().unwrap()).unwrap();
            let head = &good[..good.len() - 1];
            [1, 2, 3]
                .iter()
                .map(|stray| format!("{head}{}", &alphabet[last + stray..=last + stray]))
                .collect()
        }
        _ => vec![],
    };
    assert!(!strays.is_empty(), "the sample's length must leave stray bits to test");
    for (index, stray) in strays.into_iter().enumerate() {
        let two_bits = good.len() % 4 == 3 || index < 3;
        assert!(two_bits);
        cases.push(case(
            format!("base64url with stray bits {}", index + 1),
            with(pointer, stray.into()),
            BASE64,
        ));
    }
    for (what, text) in [
        ("one =", format!("{good}=")),
        ("two =", format!("{good}==")),
        ("a blank after", format!("{good} ")),
        ("a line feed after", format!("{good}\n")),
        ("a blank within", format!("{} {}", &good[..8], &good[8..])),
        ("a line feed within", format!("{}\r\n{}", &good[..76], &good[76..])),
        ("a + in it", format!("{}+{}", &good[..8], &good[9..])),
        ("a / in it", format!("{}/{}", &good[..8], &good[9..])),
        ("a letter beyond ASCII", format!("{}é{}", &good[..8], &good[9..])),
        ("a letter too many", format!("{}A", &good[..good.len() - good.len() % 4])),
        ("hexadecimal with a colon", "d9:03".to_owned()),
    ] {
        cases.push(case(format!("base64url: {what}"), with(pointer, text.into()), BASE64));
    }
    cases.push(case("base64url: empty", with(pointer, "".into()), Want::Reject(&["esad-cbor"])));
    let huge = "A".repeat(2_000_000);
    cases.push(case("base64url: more than a megabyte", with(pointer, huge.into()), BASE64));
}

fn forms(cases: &mut Vec<Case>) {
    for pointer in ["/timeStamp", "/pspRequest/timeStamp"] {
        for text in [
            "2023-02-16T09:14:23.5Z",
            "2023-02-16T09:14:23+23:59",
            "1999-12-31T23:59:59Z",
            "0000-01-01T00:00:00Z",
        ] {
            cases.push(case(format!("{pointer} {text:?}"), with(pointer, text.into()), Want::Accept));
        }
        for text in [
            "",
            "1676538863",
            "2023-02-16",
            "2023-02-16T09:14:23",
            "2023-02-16 09:14:23Z",
            "2023-02-29T09:14:23Z",
            "2023-02-16T09:14:60Z",
            "2023-02-16T09:14:23z",
            "2023-02-16T09:14:23Z ",
        ] {
            cases.push(case(format!("{pointer} {text:?}"), with(pointer, text.into()), ENVELOPE));
        }
    }
    for text in ["220.13.198.144", "2001:db8::1", "::1", "255.255.255.255", "::ffff:192.0.2.1"] {
        cases.push(case(
            format!("clientIpAddress {text:?}"),
            with("/pspRequest/clientIpAddress", text.into()),
            Want::Accept,
        ));
    }
    for text in ["", "spaceshop.com", "1.2.3", "1.2.3.256", "01.2.3.4", "[::1]", "1.2.3.4:80", " 1.2.3.4"] {
        cases.push(case(
            format!("clientIpAddress {text:?}"),
            with("/pspRequest/clientIpAddress", text.into()),
            ENVELOPE,
        ));
    }
    for text in
        ["Spaceshop.com", "spaceshop.com.", "spaceshop.com:443", "https://spaceshop.com", "", "café.example"]
    {
        cases.push(case(format!("payeeHost {text:?}"), with("/payeeHost", text.into()), ENVELOPE));
    }
    for text in ["DE89370400440532013000", "", "anything"] {
        cases.push(case(
            format!("receiveAccount {text:?}, which nothing is given for"),
            with("/pspRequest/receiveAccount", text.into()),
            Want::Accept,
        ));
    }
}

fn same(cases: &mut Vec<Case>) {
    let prcd = Want::Reject(&["payment-request"]);
    for (name, values) in [
        (
            "payeeName",
            &[
                "Space Shop ",
                "space Shop",
                "Space  Shop",
                "Space\u{a0}Shop",
                "Space Shop\u{200b}",
                "",
                "Sp\u{430}ce Shop",
            ][..],
        ),
        ("requestId", &["7040566322", "07040566321", "7040566321 ", ""]),
        ("amount", &["435", "435.0", "435.000", "0435.00", "435.01", "43500"]),
        ("currency", &["USD", "SEK"]),
    ] {
        for value in values {
            let line = with(&format!("/pspRequest/paymentRequest/{name}"), (*value).into());
            cases.push(case(format!("{name} {value:?} and signed otherwise"), line, prcd.clone()));
        }
    }
    for host in ["spaceshop.co", "www.spaceshop.com", "spaceshop.com.evil.example", "127.0.0.1"] {
        cases.push(case(
            format!("payeeHost {host:?} and signed otherwise"),
            with("/payeeHost", host.into()),
            Want::Reject(&["payee-host"]),
        ));
    }
    for network in ["https://banknet2.org/", "https://BANKNET2.org", "https://visa.com/fwp", ""] {
        let line = with("/pspRequest/fwpAssertion/paymentNetworkId", network.into());
        cases.push(case(
            format!("paymentNetworkId {network:?} and signed otherwise"),
            line,
            Want::Reject(&["signed-network"]),
        ));
    }
}
