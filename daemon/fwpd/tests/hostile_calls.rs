//! Two users on a bus configured like the system's: one floods the daemon with hostile calls, made from the contract, while the other
//! pays. Nothing crashes, nothing of the other's is seen, every payment goes through, and memory stays bounded.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::print_stdout, reason = "the figures are what it is about")]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use fwp_dbus::types::HistoryOptions;
use fwp_dbus::{Client, Event};
use fwp_tests::daemon::MANY_PAYMENTS;
use fwp_tests::requests::BANKNET;
use fwp_tests::{Bank, Checkout, Fwpd, MY_BANK, PrivateBus, Prompt, ScriptedAgent, enroll, programs, soon};
use serde_json::Value;

const FWPD: &str = env!("CARGO_BIN_EXE_fwpd");
/// Who floods: nobody. The bus refuses users that the system doesn't know.
const OTHER: u32 = 65534;
const CALLS: usize = 10_000;
/// Megabytes that the daemon may have more after the flood than before.
const GROWTH: f64 = 8.0;
const ACCOUNT: &str = "FR7630002111110020050014382";
const HOST: &str = "shop-of-the-other.example";

/// Proportional set size in megabytes.
fn pss(fwpd: &Fwpd) -> f64 {
    let path = format!("/proc/{}/smaps_rollup", fwpd.pid().as_raw_nonzero());
    let text = std::fs::read_to_string(path).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1000.0
}

fn peak(fwpd: &Fwpd) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{}/status", fwpd.pid().as_raw_nonzero())).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1000.0
}

/// A payment from CreatePayment to its end: how long it took.
async fn pay(client: &Client, id: &str) -> Duration {
    let begun = Instant::now();
    let mut checkout = Checkout::of(client, HOST, &[BANKNET], id, "4.35").await.unwrap();
    checkout.pay().await;
    checkout.payment.complete("success").await.unwrap();
    assert_eq!(checkout.next().await, Event::Finished(Ok(())));
    begun.elapsed()
}

fn median(times: &[Duration]) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort();
    sorted[sorted.len() / 2]
}

#[tokio::test]
async fn ten_thousand_hostile_calls_while_another_user_pays() {
    let bus = PrivateBus::system();
    // What the flood has its own agent asked is not answered.
    let config = format!("{MANY_PAYMENTS}[deadlines]\nprompt = 2\n");
    let fwpd = Fwpd::start(&bus, FWPD, &config).await;
    let (desktop, client) = (fwpd.client(&bus).await, fwpd.client(&bus).await);
    let agent = ScriptedAgent::new();
    agent.register(&desktop).await.unwrap();
    let card = enroll(&client, &Bank::new(MY_BANK), &[(BANKNET, ACCOUNT)]).await.unwrap().remove(0);
    let open = Checkout::of(&client, HOST, &[BANKNET], "open", "1.00").await.unwrap();
    let mut usual = Vec::new();
    for number in 0..15 {
        usual.push(pay(&client, &format!("before-{number}")).await);
    }
    agent.forget();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let before = pss(&fwpd);

    let files = tempfile::tempdir().unwrap();
    let readable = |name: &str, lines: &[&str]| {
        let file = files.path().join(name);
        std::fs::write(&file, lines.join("\n")).unwrap();
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o644)).unwrap();
        file
    };
    std::fs::set_permissions(files.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let paths = readable("paths", &[card.as_str(), open.path.as_str()]);
    let secrets = readable("secrets", &[ACCOUNT, HOST]);
    let hostile = programs::program("fwp-tests", "hostile-caller");
    let flood = |count: usize, secrets: &Path| {
        let mut command = bus.command_as(OTHER, Path::new(&hostile));
        command.args(["--system", "--count", &count.to_string(), "--seed", "6"]);
        command.arg("--paths").arg(&paths).arg("--secrets").arg(secrets).stdout(Stdio::piped());
        let flood = command.spawn().unwrap();
        tokio::task::spawn_blocking(move || flood.wait_with_output().unwrap())
    };
    // It would see it: this is told to everybody.
    let output = flood(300, &readable("told", &["there is no such object"])).await.unwrap();
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    let leaks = said["leaks"].as_array().unwrap();
    assert!(!output.status.success() && !leaks.is_empty(), "{said:#}");

    let flood = flood(CALLS, &secrets);
    let mut under_flood = Vec::new();
    while !flood.is_finished() {
        let id = format!("during-{}", under_flood.len());
        under_flood.push(soon("a payment under the flood", pay(&client, &id)).await);
    }
    let output = flood.await.unwrap();
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(output.status.success() && said["leaks"].as_array().is_some_and(Vec::is_empty), "{said:#}");
    let sent: u64 = ["calls", "without_reply", "signals"].iter().filter_map(|of| said[of].as_u64()).sum();
    let not_encoded = said["not_encoded"].as_u64().unwrap();
    assert_eq!(sent + not_encoded, u64::try_from(CALLS).unwrap(), "{said:#}");
    assert!(not_encoded * 20 < sent, "{said:#}");
    // The calls reached what they were meant for: objects of any state, wrong types, others' objects, every limit.
    for (answer, least) in [
        ("answered", 100),
        ("io.github.fwpd.Error.InvalidState", 10),
        ("org.freedesktop.DBus.Error.InvalidArgs", 50),
        ("org.freedesktop.DBus.Error.UnknownObject", 300),
        ("io.github.fwpd.Error.LimitsExceeded", 50),
    ] {
        assert!(said["answers"][answer].as_u64() >= Some(least), "{answer}: {said:#}");
    }

    // It is the daemon of before, which knows what each is to whom.
    assert!(fwpd.pid().as_raw_nonzero().get() > 0 && !fwpd.log().contains("panicked"), "{}", fwpd.log());
    assert_eq!(open.payment.state().await.unwrap(), "created");
    let wallet = client.wallet().await.unwrap();
    let history = wallet.history(1000, &HistoryOptions::default()).await.unwrap();
    let paid = history.iter().filter(|entry| entry.event.starts_with("authorized")).count();
    assert_eq!(paid, usual.len() + under_flood.len());
    assert_eq!(wallet.list_credentials().await.unwrap().len(), 1);
    let theirs = |prompt: &Prompt| match prompt {
        Prompt::Authorize(_, request, _) => request.payee_host != HOST,
        Prompt::Consent(..) | Prompt::Passphrase(_) => true,
        Prompt::Pin(_) | Prompt::Status(..) => false,
        _ => false,
    };
    let strange: Vec<_> = agent.prompts().into_iter().filter(theirs).collect();
    assert!(strange.is_empty(), "the flood asked another user something: {strange:?}");

    tokio::time::sleep(Duration::from_secs(2)).await;
    let after = pss(&fwpd);
    let (usual, flooded) = (median(&usual), median(&under_flood));
    println!("{said:#}");
    println!(
        "PSS {before:.1} MB before, {after:.1} MB after, {:.1} MB at most; a payment {usual:?}, under the flood {flooded:?} \
         ({:.2} times, {} payments)",
        peak(&fwpd),
        flooded.as_secs_f64() / usual.as_secs_f64(),
        under_flood.len()
    );
    assert!(after - before < GROWTH, "{before:.1} MB before, {after:.1} MB after");
}
