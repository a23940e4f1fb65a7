//! What the store asks of a TPM, with a software TPM (swtpm): a credential of systemd that the TPM seals, and a counter in
//! its NV memory, which the trait has to fit though its driver lives elsewhere.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::{Home, THEN, add_card};
use fwp_store::slot::{SlotError, SystemdCredential};
use fwp_store::{CounterError, CounterKind, OutsideCounter, Pace, RollBack, Store, StoreError, WalletId};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A software TPM of its own, with its state in a temporary directory.
struct Tpm {
    state: TempDir,
    running: Option<Child>,
    port: u16,
}

impl Tpm {
    fn start() -> Self {
        let mut tpm = Self { state: tempfile::tempdir().unwrap(), running: None, port: 0 };
        tpm.power_on();
        tpm
    }

    /// Starts it with the state that it has. Ports may be taken between two looks: then again.
    fn power_on(&mut self) {
        for _ in 0..20 {
            // Two neighbours: the commands and the control channel, where the TPM library expects it.
            let Ok(commands) = TcpListener::bind(("127.0.0.1", 0)) else { continue };
            self.port = commands.local_addr().unwrap().port();
            let Some(next) = self.port.checked_add(1) else { continue };
            let Ok(control) = TcpListener::bind(("127.0.0.1", next)) else { continue };
            drop((commands, control));
            let child = Command::new("swtpm")
                .args(["socket", "--tpm2", "--flags", "not-need-init,startup-clear"])
                .arg(format!("--tpmstate=dir={}", self.state.path().display()))
                .arg(format!("--server=type=tcp,port={}", self.port))
                .arg(format!("--ctrl=type=tcp,port={next}"))
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("swtpm is needed for this test (package swtpm)");
            self.running = Some(child);
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_secs(5) {
                if self.tool("tpm2_getcap", &["properties-fixed"]).is_ok_and(|out| out.status.success()) {
                    return;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            self.power_off();
        }
        panic!("no software TPM answers (packages swtpm, tpm2-tools, libtss2-tcti-swtpm0)");
    }

    fn power_off(&mut self) {
        if let Some(mut running) = self.running.take() {
            let _ = running.kill();
            let _ = running.wait();
        }
    }

    fn address(&self) -> String {
        format!("swtpm:host=127.0.0.1,port={}", self.port)
    }

    fn tool(&self, program: &str, arguments: &[&str]) -> Result<Output, std::io::Error> {
        let mut command = Command::new(program);
        command.args(arguments).env("TPM2TOOLS_TCTI", self.address()).env("TSS2_LOG", "all+none");
        command.output()
    }

    /// What one of tpm2-tools prints; `None` if it fails.
    fn ask(&self, program: &str, arguments: &[&str]) -> Option<String> {
        let output =
            self.tool(program, arguments).expect("tpm2-tools is needed for this test (package tpm2-tools)");
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// systemd-creds with a secret of the host that is this test's own. It leaves its sessions in a TPM that has no resource
    /// manager.
    fn creds(&self, arguments: &[&str], from: &Path, to: &Path) -> Result<(), String> {
        let host = self.state.path().join("host");
        std::fs::create_dir_all(&host).unwrap();
        let run = "mount --bind \"$0\" /var/lib/systemd && exec systemd-creds \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", run]).arg(host);
        command.args(arguments).arg(from).arg(to).env("SYSTEMD_TPM2_DEVICE", self.address());
        let output = command.output().expect("util-linux is needed for this test: unshare");
        assert_ne!(
            output.status.code(),
            Some(127),
            "systemd-creds is needed for this test (package systemd)"
        );
        for kind in ["--loaded-session", "--transient-object"] {
            let _ = self.tool("tpm2_flushcontext", &[kind]);
        }
        match output.status.success() {
            true => Ok(()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }
}

impl Drop for Tpm {
    fn drop(&mut self) {
        self.power_off();
    }
}

const NAME: &str = "--name=fwpd.wallet-key";

/// As packaged: the host's secret and the TPM, and a PCR that nothing changes.
const AS_PACKAGED: [&str; 4] = ["encrypt", "--with-key=host+tpm2", "--tpm2-pcrs=22", NAME];

/// Where systemd would lay the credential down for the service.
fn credentials(home: &Home) -> PathBuf {
    let directory = home.temporary.path().join("credentials");
    std::fs::create_dir_all(&directory).unwrap();
    directory
}

/// What systemd does before it starts the service.
fn lay_down(home: &Home, tpm: &Tpm, encrypted: &Path) -> Result<(), String> {
    let path = credentials(home).join("fwpd.wallet-key");
    let _ = std::fs::remove_file(&path);
    tpm.creds(&["decrypt", NAME], encrypted, &path)?;
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o400)).unwrap();
    Ok(())
}

#[test]
fn a_credential_sealed_by_the_tpm_opens_the_wallet_after_a_firmware_update_and_not_beside_another_tpm() {
    let home = Home::new();
    let mut tpm = Tpm::start();
    let (secret, encrypted) = (home.temporary.path().join("secret"), home.temporary.path().join("encrypted"));
    let mut random = [0; 32];
    getrandom::fill(&mut random).unwrap();
    std::fs::write(&secret, random).unwrap();
    tpm.creds(&AS_PACKAGED, &secret, &encrypted).unwrap();
    std::fs::remove_file(&secret).unwrap();
    assert!(!std::fs::read(&encrypted).unwrap().windows(16).any(|part| part == &random[..16]));

    lay_down(&home, &tpm, &encrypted).unwrap();
    let slot = SystemdCredential::new(credentials(&home), "fwpd.wallet-key");
    let mut store = home.create();
    let first = store.slots().unwrap()[0].0;
    store.add_slot(&slot, THEN).unwrap();
    store.remove_slot(first, &[&slot], THEN).unwrap();
    add_card(&mut store, 1);
    drop(store);
    std::fs::remove_file(home.key().path()).unwrap();

    // The next start, with a Secure Boot update measured into PCR 7, and somebody who extends what a user may.
    tpm.power_off();
    tpm.power_on();
    let one = format!("{:064x}", 1);
    for pcr in ["7", "16", "23"] {
        tpm.ask("tpm2_pcrextend", &[&format!("{pcr}:sha256={one}")]).unwrap();
    }
    assert_eq!(tpm.ask("tpm2_pcrextend", &[&format!("22:sha256={one}")]), None, "nobody extends PCR 22");
    lay_down(&home, &tpm, &encrypted).unwrap();
    let store = home.locked().unlock(&[&slot], None).unwrap();
    assert_eq!(store.cards().len(), 1);
    drop(store);

    // The disk beside another TPM: systemd has nothing to lay down, and nothing opens the wallet.
    let other = Tpm::start();
    let (host, copy) = (tpm.state.path().join("host"), other.state.path().join("host"));
    std::fs::create_dir_all(&copy).unwrap();
    std::fs::copy(host.join("credential.secret"), copy.join("credential.secret")).unwrap();
    let refused = lay_down(&home, &other, &encrypted).unwrap_err();
    assert!(refused.contains("TPM"), "{refused}");
    let _ = std::fs::remove_file(credentials(&home).join("fwpd.wallet-key"));
    let error = home.locked().unlock(&[&slot, &home.key()], None).unwrap_err().error;
    let StoreError::NoSlotOpens { tried } = &error else { panic!("{error}") };
    assert!(matches!(tried[..], [(_, SlotError::Missing(_))]), "{tried:?}");
}

/// A counter in NV memory, by tpm2-tools: what a driver does, slowly.
struct NvCounter {
    tcti: String,
}

const INDEX: &str = "0x01800042";

impl NvCounter {
    fn boxed(tpm: &Tpm) -> Option<Box<dyn OutsideCounter>> {
        Some(Box::new(Self { tcti: tpm.address() }))
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new(program);
        command.args(arguments).env("TPM2TOOLS_TCTI", &self.tcti).env("TSS2_LOG", "all+none");
        command.output().unwrap()
    }
}

impl OutsideCounter for NvCounter {
    fn kind(&self) -> CounterKind {
        CounterKind::Tpm
    }

    fn pace(&self) -> Pace {
        Pace::DurableCommit
    }

    fn value(&self, _: &WalletId) -> Result<Option<u64>, CounterError> {
        let output = self.run("tpm2_nvread", &[INDEX, "-C", "o", "-s", "8"]);
        if let Ok(bytes) = <[u8; 8]>::try_from(output.stdout.as_slice()) {
            return Ok(Some(u64::from_be_bytes(bytes)));
        }
        // Not defined, or defined and never moved: none yet. No answer at all: not reached.
        match self.run("tpm2_getcap", &["properties-fixed"]).status.success() {
            true => Ok(None),
            false => Err(CounterError::Unreachable("the TPM does not answer".to_owned())),
        }
    }

    fn increment(&mut self, wallet: &WalletId) -> Result<u64, CounterError> {
        self.run("tpm2_nvdefine", &[INDEX, "-C", "o", "-s", "8", "-a", "ownerread|ownerwrite|nt=counter"]);
        self.run("tpm2_nvincrement", &[INDEX, "-C", "o"]);
        self.value(wallet)?.ok_or_else(|| CounterError::Unreachable("the TPM makes no counter".to_owned()))
    }
}

fn open(home: &Home, tpm: &Tpm) -> Result<Store, StoreError> {
    home.locked().unlock(&[&home.key()], NvCounter::boxed(tpm)).map_err(|refusal| refusal.error)
}

#[test]
fn a_counter_in_the_tpm_notices_every_old_copy_also_after_the_tpm_was_killed_or_cleared() {
    let home = Home::new();
    drop(home.create());
    let mut tpm = Tpm::start();
    let mut store = open(&home, &tpm).unwrap();
    assert_eq!(store.roll_back(), RollBack::Excluded);
    add_card(&mut store, 1);
    drop(store);
    let old = std::fs::read(home.database()).unwrap();

    // The TPM goes in the middle: nothing is held up, and it is made up for.
    let mut store = open(&home, &tpm).unwrap();
    tpm.power_off();
    add_card(&mut store, 2);
    assert!(matches!(store.counter_problem(), Some(CounterError::Unreachable(_))));
    drop(store);
    assert_eq!(open(&home, &tpm).unwrap().roll_back(), RollBack::NotDetectedHere);
    tpm.power_on();
    let store = open(&home, &tpm).unwrap();
    assert_eq!((store.roll_back(), store.cards().len()), (RollBack::Excluded, 2));
    drop(store);

    std::fs::write(home.database(), &old).unwrap();
    let error = open(&home, &tpm).unwrap_err();
    assert!(matches!(error, StoreError::RolledBack { .. }), "{error}");
    assert_eq!(std::fs::read(home.database()).unwrap(), old);

    // Cleared: the counter is gone. One that is made anew begins no lower than the old one was.
    tpm.ask("tpm2_clear", &["-c", "p"]).unwrap();
    let error = open(&home, &tpm).unwrap_err();
    assert!(matches!(error, StoreError::CounterLost { kind: CounterKind::Tpm, found: None, .. }), "{error}");
    let locked = home.locked();
    let store = locked.unlock_as_newest(&[&home.key()], NvCounter::boxed(&tpm).unwrap(), THEN).unwrap();
    assert_eq!((store.roll_back(), store.cards().len()), (RollBack::Excluded, 1));
    drop(store);
    std::fs::write(home.database(), &old).unwrap();
    assert!(matches!(open(&home, &tpm).unwrap_err(), StoreError::RolledBack { .. }));
}
