//! A credential of systemd that a TPM seals, with the real systemd-creds and a software TPM.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::{Home, THEN, add_card};
use fwp_store::StoreError;
use fwp_store::slot::{SlotError, SystemdCredential};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use virtual_tpm::Swtpm;

/// systemd-creds with a secret of the host that is this test's own. It leaves its sessions in a TPM that has no resource
/// manager.
fn creds(tpm: &Swtpm, arguments: &[&str], from: &Path, to: &Path) -> Result<(), String> {
    let host = tpm.state.path().join("host");
    std::fs::create_dir_all(&host).unwrap();
    let run = "mount --bind \"$0\" /var/lib/systemd && exec systemd-creds \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", run]).arg(host);
    command.args(arguments).arg(from).arg(to).env("SYSTEMD_TPM2_DEVICE", tpm.address().to_string());
    let output = command.output().expect("util-linux is needed for this test: unshare");
    assert_ne!(output.status.code(), Some(127), "systemd-creds is needed for this test (package systemd)");
    for kind in ["--loaded-session", "--transient-object"] {
        tpm.try_tool("tpm2_flushcontext", &[kind]);
    }
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
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
fn lay_down(home: &Home, tpm: &Swtpm, encrypted: &Path) -> Result<(), String> {
    let path = credentials(home).join("fwpd.wallet-key");
    let _ = std::fs::remove_file(&path);
    creds(tpm, &["decrypt", NAME], encrypted, &path)?;
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o400)).unwrap();
    Ok(())
}

#[test]
fn a_credential_sealed_by_the_tpm_opens_the_wallet_after_a_firmware_update_and_not_beside_another_tpm() {
    let home = Home::new();
    let mut tpm = Swtpm::new();
    let (secret, encrypted) = (home.temporary.path().join("secret"), home.temporary.path().join("encrypted"));
    let mut random = [0; 32];
    getrandom::fill(&mut random).unwrap();
    std::fs::write(&secret, random).unwrap();
    creds(&tpm, &AS_PACKAGED, &secret, &encrypted).unwrap();
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
    tpm.restart();
    let one = format!("{:064x}", 1);
    for pcr in ["7", "16", "23"] {
        tpm.tool("tpm2_pcrextend", &[&format!("{pcr}:sha256={one}")]);
    }
    let (extended, _) = tpm.try_tool("tpm2_pcrextend", &[&format!("22:sha256={one}")]);
    assert!(!extended, "nobody extends PCR 22");
    lay_down(&home, &tpm, &encrypted).unwrap();
    let store = home.locked().unlock(&[&slot], None).unwrap();
    assert_eq!(store.cards().len(), 1);
    drop(store);

    // The disk beside another TPM: systemd has nothing to lay down, and nothing opens the wallet.
    let other = Swtpm::new();
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
