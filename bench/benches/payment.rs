//! A payment over a real dbus-daemon, and the daemon's start and size. Needs the release build of `fwpd` beside it
//! (`make bench` makes it).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::print_stdout, missing_docs)]

use fwp_bench::{Row, print};
use fwp_dbus::{Client, Event};
use fwp_tests::daemon::MANY_PAYMENTS;
use fwp_tests::{Bank, Checkout, Fwpd, MY_BANK, PrivateBus, ScriptedAgent, enroll, requests::BANKNET};
use p256::ecdsa::signature::{Signer, Verifier};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use zbus::Connection;

const ROUNDS: usize = 60;
/// A user other than the benchmark's own: nobody.
const FLOODER: u32 = 65534;
const ECHO: &str = "io.github.fwpd.BenchEcho";

/// Our own program stands in for the bare programs of the floors.
fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let runtime = Runtime::new().unwrap();
    if let [_, role, address] = arguments.as_slice()
        && ["echo", "name"].contains(&role.as_str())
    {
        return runtime.block_on(serve(role, address));
    }
    let one = runtime.block_on(payments());
    let many = runtime.block_on(many_cards_and_wallets());
    let flooded = runtime.block_on(flood());
    print("A payment over a real dbus-daemon", &[one, many, flooded]);
    runtime.block_on(start_and_size());
}

/// A bare program: takes a name, and answers calls with what they bring.
async fn serve(role: &str, address: &str) {
    struct Echo;
    #[zbus::interface(name = "io.github.fwpd.BenchEcho")]
    impl Echo {
        fn echo(&self, text: &str) -> String {
            text.to_owned()
        }
    }
    let builder = zbus::connection::Builder::address(address).serve_at("/", Echo);
    let name = if role == "echo" { ECHO } else { "io.github.fwpd.BenchName" };
    let _connection = builder.name(name).build().await.unwrap();
    std::future::pending::<()>().await;
}

/// A daemon on a bus of its own, with an agent that answers at once and the cards of a bank.
struct Stage {
    bus: PrivateBus,
    fwpd: Fwpd,
    page: Client,
    _desktop: Client,
    paid: usize,
}

impl Stage {
    async fn start(bus: PrivateBus, wallets: usize, cards: usize) -> Self {
        let fwpd = Fwpd::start(&bus, program(), MANY_PAYMENTS).await;
        let (desktop, page) = (fwpd.client(&bus).await, fwpd.client(&bus).await);
        ScriptedAgent::new().register(&desktop).await.unwrap();
        let bank = Bank::new(MY_BANK);
        enroll(&page, &bank, &[(BANKNET, "FR7630002111110020050014382"), ("https://other.example", "1")])
            .await
            .unwrap();
        let mut there = 2;
        while there < cards {
            let more: Vec<(String, String)> = (there..cards.min(there + 11))
                .map(|n| (format!("https://network-{n}.example"), format!("account-{n}")))
                .collect();
            let borrowed: Vec<(&str, &str)> = more.iter().map(|(n, a)| (n.as_str(), a.as_str())).collect();
            enroll(&page, &bank, &borrowed).await.unwrap();
            there += more.len();
        }
        let listed = page.wallet().await.unwrap().list_credentials().await.unwrap().len();
        assert_eq!(listed, cards, "cards in the wallet");
        let stage = Self { bus, fwpd, page, _desktop: desktop, paid: 0 };
        stage.more_wallets(wallets);
        stage
    }

    /// Other users' wallets, as copies of the first one: they are not opened.
    fn more_wallets(&self, wallets: usize) {
        if wallets < 2 {
            return;
        }
        let users = self.fwpd.state_dir().join("users");
        let first = std::fs::read_dir(&users).unwrap().next().unwrap().unwrap().path();
        for uid in 100_000..100_000 + wallets - 1 {
            let folder = users.join(uid.to_string());
            std::fs::create_dir(&folder).unwrap();
            for file in std::fs::read_dir(&first).unwrap() {
                let file = file.unwrap();
                std::fs::copy(file.path(), folder.join(file.file_name())).unwrap();
            }
        }
    }

    /// Seconds of one payment, from CreatePayment to Closed after Complete.
    async fn pay(&mut self) -> f64 {
        self.paid += 1;
        let (id, value) = (format!("order-{}", self.paid), format!("{}.00", self.paid));
        let start = Instant::now();
        let mut checkout = Checkout::of(&self.page, "spaceshop.com", &[BANKNET], &id, &value).await.unwrap();
        checkout.pay().await;
        checkout.payment.complete("success").await.unwrap();
        assert_eq!(checkout.next().await, Event::Finished(Ok(())));
        start.elapsed().as_secs_f64()
    }
}

async fn payments() -> Row {
    let mut stage = Stage::start(PrivateBus::session(), 1, 2).await;
    let floor = Floor::start(&stage.bus).await;
    for _ in 0..5 {
        stage.pay().await;
        floor.once().await;
    }
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        rounds.push((stage.pay().await, floor.once().await));
    }
    Row::from_rounds("payment : 6 bus round trips + primitives + durable commit", 2.0, &rounds)
}

async fn many_cards_and_wallets() -> Row {
    let mut many = Stage::start(PrivateBus::system(), 1000, 200).await;
    let mut few = Stage::start(PrivateBus::system(), 1, 2).await;
    for _ in 0..5 {
        many.pay().await;
        few.pay().await;
    }
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        rounds.push((many.pay().await, few.pay().await));
    }
    Row::from_rounds("payment with 200 cards and 1,000 wallets : with 2 cards and one wallet", 1.2, &rounds)
}

/// A payment while another user floods the daemon with hostile calls, and one with a daemon that nobody else calls: where others are
/// there, a user's calls rest even if the others do nothing. While it is made, the flood stands still.
async fn flood() -> Row {
    /// What a flood takes to be one, and to be over.
    const SETTLING: Duration = Duration::from_millis(100);
    let mut stage = Stage::start(PrivateBus::system(), 1, 2).await;
    let mut alone = Stage::start(PrivateBus::system(), 1, 2).await;
    let hostile = fwp_tests::programs::program("fwp-tests", "hostile-caller");
    let mut command = stage.bus.command_as(FLOODER, &hostile);
    command.args(["--system", "--count", "1000000000", "--seed", "6"]).stdout(std::process::Stdio::null());
    let flood = Running(command.spawn().unwrap());
    let process = rustix::process::Pid::from_child(&flood.0);
    let tell = |signal| rustix::process::kill_process(process, signal).unwrap();
    for _ in 0..5 {
        stage.pay().await;
        alone.pay().await;
    }
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        tell(rustix::process::Signal::CONT);
        tokio::time::sleep(SETTLING).await;
        let flooded = stage.pay().await;
        tell(rustix::process::Signal::STOP);
        tokio::time::sleep(SETTLING).await;
        rounds.push((flooded, alone.pay().await));
    }
    Row::from_rounds("flood: payment while another user sends hostile calls : its usual", 2.0, &rounds)
}

/// The least that a payment needs.
struct Floor {
    _echo: Running,
    caller: Connection,
    database: rusqlite::Connection,
    _directory: tempfile::TempDir,
}

impl Floor {
    async fn start(bus: &PrivateBus) -> Self {
        let echo = Running::role("echo", bus);
        let caller = bus.connect().await;
        wait_for_name(&caller, ECHO).await;
        let directory = tempfile::tempdir().unwrap();
        let database = rusqlite::Connection::open(directory.path().join("floor.db")).unwrap();
        database
            .execute_batch(
                "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE t (b BLOB NOT NULL);",
            )
            .unwrap();
        Self { _echo: echo, caller, database, _directory: directory }
    }

    /// Seconds of 6 bare round trips to another process, the primitives, and one durable commit.
    async fn once(&self) -> f64 {
        let start = Instant::now();
        for _ in 0..6 {
            let reply =
                self.caller.call_method(Some(ECHO), "/", Some(ECHO), "Echo", &"435.00 EUR").await.unwrap();
            assert_eq!(reply.body().deserialize::<String>().unwrap(), "435.00 EUR");
        }
        primitives();
        self.database.execute("INSERT INTO t VALUES (?1)", [&[7u8; 512][..]]).unwrap();
        start.elapsed().as_secs_f64()
    }
}

/// The public-key operations of a payment: the PIN box (two X25519 keys, two agreements), the PIN/UV auth protocol (one P-256
/// key, two agreements), the assertion (signed and verified), the ESAD (one X25519 key, one agreement).
fn primitives() {
    let random = || {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).unwrap();
        bytes
    };
    let x25519: Vec<_> = (0..3).map(|_| x25519_dalek::StaticSecret::from(random())).collect();
    let publics: Vec<_> = x25519.iter().map(x25519_dalek::PublicKey::from).collect();
    for (ours, theirs) in [(0, 1), (1, 0), (2, 0)] {
        std::hint::black_box(x25519[ours].diffie_hellman(&publics[theirs]).to_bytes());
    }
    let key = |bytes: [u8; 32]| p256::SecretKey::from_slice(&bytes).unwrap();
    let (platform, authenticator) = (key(random()), key([9; 32]));
    for _ in 0..2 {
        let peer = platform.public_key();
        std::hint::black_box(p256::ecdh::diffie_hellman(authenticator.to_nonzero_scalar(), peer.as_affine()));
    }
    let signer = p256::ecdsa::SigningKey::from_slice(&[3; 32]).unwrap();
    let signature: p256::ecdsa::Signature = signer.sign(b"authenticatorData and SHA-256(AD)");
    signer.verifying_key().verify(b"authenticatorData and SHA-256(AD)", &signature).unwrap();
}

async fn start_and_size() {
    let bus = PrivateBus::session();
    let caller = bus.connect().await;
    let mut rounds = Vec::new();
    for _ in 0..21 {
        let start = Instant::now();
        let daemon = Fwpd::start(&bus, program(), MANY_PAYMENTS).await;
        let ours = start.elapsed().as_secs_f64();
        drop(daemon);
        let start = Instant::now();
        let bare = Running::role("name", &bus);
        wait_for_name(&caller, "io.github.fwpd.BenchName").await;
        rounds.push((ours, start.elapsed().as_secs_f64()));
        drop(bare);
        while has_name(&caller, "io.github.fwpd.BenchName").await || has_name(&caller, "io.github.fwpd").await
        {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
    let start = Row::from_rounds("exec of fwpd to its name : of a bare program", 10.0, &rounds);
    print("Start", &[start]);

    let bus = PrivateBus::session();
    let fresh = Fwpd::start(&bus, program(), MANY_PAYMENTS).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = pss_mb(&fresh);
    drop(fresh);
    let mut stage = Stage::start(PrivateBus::session(), 1, 2).await;
    for _ in 0..3 {
        stage.pay().await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let after = pss_mb(&stage.fwpd);
    println!("\nSize\n\n| what | PSS | limit | |\n|---|---|---|---|");
    for (what, size) in
        [("fwpd idle, nothing called yet", before), ("fwpd idle, after three payments", after)]
    {
        println!("| {what} | {size:.1} MB | 15.0 MB | {} |", if size <= 15.0 { "kept" } else { "OVER" });
    }
}

/// Proportional set size in megabytes.
fn pss_mb(fwpd: &Fwpd) -> f64 {
    let path = format!("/proc/{}/smaps_rollup", fwpd.pid().as_raw_nonzero());
    let text = std::fs::read_to_string(path).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap();
    let kilobytes: f64 = line.trim().trim_end_matches(" kB").parse().unwrap();
    kilobytes / 1000.0
}

/// This program in another role.
struct Running(Child);

impl Running {
    fn role(role: &str, bus: &PrivateBus) -> Self {
        Self(Command::new(std::env::current_exe().unwrap()).args([role, bus.address()]).spawn().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn has_name(caller: &Connection, name: &str) -> bool {
    let bus = zbus::fdo::DBusProxy::new(caller).await.unwrap();
    bus.name_has_owner(name.try_into().unwrap()).await.unwrap()
}

async fn wait_for_name(caller: &Connection, name: &str) {
    while !has_name(caller, name).await {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// `fwpd` of the release build, in the target folder that this benchmark runs from.
fn program() -> PathBuf {
    let this = std::env::current_exe().unwrap();
    let folder =
        this.ancestors().find(|folder| folder.ends_with("release")).unwrap_or(Path::new("target/release"));
    let program = folder.join("fwpd");
    assert!(program.is_file(), "no release build of fwpd; use `make bench`");
    program
}
