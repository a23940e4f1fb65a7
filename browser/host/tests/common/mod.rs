//! The host as a browser has it: a process, and frames to and from it.
#![allow(dead_code, reason = "no test program uses all of it")]

use fwp_native_host::frame::{HEADER, MAX_ANSWER, encode};
use fwp_native_host::manifest::Family;
use fwp_tests::programs::program;
use fwp_tests::requests::{BANKNET, details, method_data};
use fwp_tests::{Bank, Fwpd, MY_BANK, PrivateBus, QUICK, ScriptedAgent, enroll, soon};
use serde_json::{Value, json};
use std::process::Stdio;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// The program.
pub(crate) const HOST: &str = env!("CARGO_BIN_EXE_fwp-native-host");
/// The page that most tests pay at.
pub(crate) const ORIGIN: &str = "https://spaceshop.com";

/// A wallet with one card, and somebody who answers.
pub(crate) struct Stage {
    pub(crate) bus: PrivateBus,
    pub(crate) fwpd: Fwpd,
    pub(crate) agent: ScriptedAgent,
    pub(crate) bank: Bank,
    /// The agent's connection.
    pub(crate) desktop: fwp_dbus::Client,
}

impl Stage {
    pub(crate) async fn new() -> Self {
        let bus = PrivateBus::session();
        let fwpd = Fwpd::start(&bus, program("fwpd", "fwpd"), &format!("key-slot = \"file\"\n{QUICK}")).await;
        let desktop = fwpd.client(&bus).await;
        let (agent, bank) = (ScriptedAgent::new(), Bank::new(MY_BANK));
        agent.register(&desktop).await.unwrap();
        // An agent doesn't ask about what its own connection wants.
        let client = fwpd.client(&bus).await;
        enroll(&client, &bank, &[(BANKNET, "FR7630002111110020050012733")]).await.unwrap();
        agent.forget();
        Self { bus, fwpd, agent, bank, desktop }
    }

    /// A host that has said hello.
    pub(crate) async fn host(&self) -> Host {
        let mut host = Host::start(&[self.bus.variable()]);
        host.hello().await;
        host
    }
}

/// What the wallet's extension in Chromium is known by.
pub(crate) fn origin_of_the_extension() -> String {
    Family::Chromium.packaged().unwrap().allowed_origins.remove(0)
}

/// A running host.
pub(crate) struct Host {
    pub(crate) process: Child,
    pub(crate) input: Option<ChildStdin>,
    output: ChildStdout,
    last_id: u64,
}

impl Host {
    /// Starts it with this environment, and no bus but what that says.
    pub(crate) fn start(variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(HOST);
        command
            .arg(origin_of_the_extension())
            .env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent/session")
            .env("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent/system")
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        let mut process = command.spawn().unwrap();
        let (input, output) = (process.stdin.take(), process.stdout.take().unwrap());
        Self { process, input, output, last_id: 0 }
    }

    pub(crate) async fn hello(&mut self) -> Value {
        let browser = json!({"name": "Chromium", "version": "156.0.8078.79"});
        self.good("hello", json!({"protocol": 1, "browser": browser})).await
    }

    /// Writes bytes as they are.
    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        self.input.as_mut().unwrap().write_all(bytes).await.unwrap();
    }

    /// Sends a request, and does not wait for its answer: its number.
    pub(crate) async fn send(&mut self, method: &str, params: Value) -> u64 {
        self.last_id += 1;
        let message = json!({"id": self.last_id, "method": method, "params": params}).to_string();
        self.write(&encode(message.as_bytes()).unwrap()).await;
        self.last_id
    }

    /// The next message of the host.
    pub(crate) async fn next(&mut self) -> Value {
        soon("a message of the host", async {
            let mut header = [0; HEADER];
            self.output.read_exact(&mut header).await.unwrap();
            let length = usize::try_from(u32::from_ne_bytes(header)).unwrap();
            assert!(length <= MAX_ANSWER, "{length} bytes: the browser would end the host");
            let mut message = vec![0; length];
            self.output.read_exact(&mut message).await.unwrap();
            serde_json::from_slice(&message).unwrap()
        })
        .await
    }

    /// Sends a request; what comes next has to be its answer.
    pub(crate) async fn call(&mut self, method: &str, params: Value) -> Value {
        let id = self.send(method, params).await;
        let answer = self.next().await;
        assert_eq!(answer["id"], id, "{answer}");
        answer
    }

    /// As [`Host::call`], and the answer is no error.
    pub(crate) async fn good(&mut self, method: &str, params: Value) -> Value {
        let mut answer = self.call(method, params).await;
        assert!(answer.get("result").is_some() && answer.get("error").is_none(), "{answer}");
        answer["result"].take()
    }

    /// As [`Host::call`], and the answer is an error: its name.
    pub(crate) async fn bad(&mut self, method: &str, params: Value) -> String {
        let answer = self.call(method, params).await;
        assert!(answer["error"]["message"].is_string() && answer.get("result").is_none(), "{answer}");
        answer["error"]["name"].as_str().unwrap().to_owned()
    }

    /// A payment of 435.00 EUR, not shown yet.
    pub(crate) async fn create(&mut self, id: &str) -> Value {
        let made = self.good("createPayment", create_params(id)).await;
        made["payment"].clone()
    }

    /// The next message, an event of this kind.
    pub(crate) async fn event(&mut self, kind: &str) -> Value {
        let event = self.next().await;
        assert_eq!(event["event"], kind, "{event}");
        event
    }

    /// The next message, an end: its reason.
    pub(crate) async fn closed(&mut self, what: &str, name: &Value) -> String {
        let event = self.event("closed").await;
        assert_eq!(event[what], *name, "{event}");
        assert!(event["message"].is_string(), "{event}");
        event["reason"].as_str().unwrap().to_owned()
    }

    /// Closes its input, and waits for its end: all that it said until then, and its status.
    pub(crate) async fn end(mut self) -> (Vec<u8>, std::process::ExitStatus) {
        drop(self.input.take());
        let mut rest = Vec::new();
        soon("the end of its output", self.output.read_to_end(&mut rest)).await.unwrap();
        (rest, soon("its end", self.process.wait()).await.unwrap())
    }

    /// A number of bytes of its status file.
    pub(crate) fn status(&self, file: &str, field: &str) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/{file}", self.process.id().unwrap())).unwrap();
        let line = text.lines().find(|line| line.starts_with(field)).unwrap();
        let kilobytes: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        kilobytes << 10
    }
}

pub(crate) fn create_params(id: &str) -> Value {
    json!({"origin": ORIGIN, "methodData": method_data(&[BANKNET]), "details": details(id, "435.00")})
}
