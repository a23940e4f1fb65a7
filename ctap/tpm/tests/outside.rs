//! What is in the TPM, looked at with other people's tools.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::{Computer, PIN, RP, hash, open};
use ctap_authenticator::KeyStore;
use ctap_core::messages::CredentialId;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The value of a `name: value` line.
fn value<'a>(text: &'a str, name: &str) -> &'a str {
    let prefix = format!("{name}: ");
    text.lines()
        .find_map(|line| line.trim().strip_prefix(&prefix))
        .unwrap_or_else(|| panic!("{name}: {text}"))
}

/// The line `value: a|b|c` that follows `attributes:`, sorted.
fn attributes(text: &str) -> Vec<String> {
    let (_, after) = text.split_once("attributes:").unwrap();
    let line = after.lines().nth(1).unwrap().trim();
    let (_, list) = line.split_once(": ").unwrap();
    let mut names: Vec<_> = list.split('|').map(str::to_lowercase).collect();
    names.sort();
    names
}

fn with_key(computer: &Computer) -> CredentialId {
    let mut store = open(&computer.tpm, &computer.memory);
    store.set_pin(&hash(PIN)).unwrap();
    store.unlock(&hash(PIN)).unwrap();
    store.next_counter().unwrap();
    store.create_key(&RP).unwrap().credential_id
}

#[test]
fn a_key_never_leaves_its_tpm_and_signs_by_its_policy_alone() {
    let computer = Computer::new();
    let id = with_key(&computer);
    let swtpm = &computer.swtpm;
    let directory = swtpm.state.path();
    // TPM2B_PUBLIC and TPM2B_PRIVATE, after the version.
    let parts = &id.as_bytes()[1..];
    let public = 2 + usize::from(u16::from_be_bytes([parts[0], parts[1]]));
    std::fs::write(directory.join("key.pub"), &parts[..public]).unwrap();
    std::fs::write(directory.join("key.priv"), &parts[public..]).unwrap();
    // The primary, made from the same template by another program: it is the key's parent.
    let primary = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|decrypt";
    let template = ["-C", "o", "-g", "sha256", "-G", "ecc256:aes128cfb", "-a", primary];
    swtpm.tool("tpm2_createprimary", &[template.as_slice(), &["-c", "primary.ctx"]].concat());
    swtpm.tool("tpm2_flushcontext", &["-t"]);
    let made = swtpm.tool("tpm2_readpublic", &["-c", "primary.ctx"]);
    swtpm.tool("tpm2_flushcontext", &["-t"]);
    let state = computer.memory.0.lock().unwrap().state.clone().unwrap();
    assert_eq!(value(&made, "name"), hex(&state[24..58]), "{made}");
    swtpm.tool("tpm2_load", &["-C", "primary.ctx", "-u", "key.pub", "-r", "key.priv", "-c", "key.ctx"]);
    swtpm.tool("tpm2_flushcontext", &["-t"]);
    let loaded = swtpm.tool("tpm2_readpublic", &["-c", "key.ctx"]);
    swtpm.tool("tpm2_flushcontext", &["-t"]);
    // Neither userwithauth, adminwithpolicy, decrypt nor restricted.
    assert_eq!(
        attributes(&loaded),
        ["fixedparent", "fixedtpm", "noda", "sensitivedataorigin", "sign"],
        "{loaded}"
    );

    // The policy, as another program computes it: PolicySecret on the PIN object for wallet and rpId, and PolicyAuthValue.
    let policy_ref = hex(&[&state[3..19], &RP[..]].concat());
    let index = swtpm.pin_object();
    let pin = format!("hex:{}", hex(hash(PIN).as_bytes()));
    swtpm.tool("tpm2_startauthsession", &["-S", "trial"]);
    swtpm.tool("tpm2_policysecret", &["-S", "trial", "-c", &index, "-q", &policy_ref, &pin]);
    swtpm.tool("tpm2_policyauthvalue", &["-S", "trial", "-L", "policy"]);
    swtpm.tool("tpm2_flushcontext", &["trial"]);
    let policy = hex(&std::fs::read(directory.join("policy")).unwrap());
    assert_eq!(value(&loaded, "authorization policy"), policy);
}

#[test]
fn the_pin_object_is_protected_against_guessing_and_read_by_nobody_else() {
    let computer = Computer::new();
    with_key(&computer);
    let swtpm = &computer.swtpm;
    let index = swtpm.pin_object();
    let public = swtpm.tool("tpm2_nvreadpublic", &[&index]);
    // noDA is clear, and so are ownerread, ownerwrite, ppread, policyread and their like.
    assert_eq!(attributes(&public), ["authread", "authwrite", "written"], "{public}");
    assert_eq!(value(&public, "size"), "32");
    assert_eq!(value(&public, "name").len(), 68);
    for who in ["o", "p"] {
        let (read, text) = swtpm.try_tool("tpm2_nvread", &[&index, "-C", who]);
        assert!(!read, "{text}");
    }
    // Guessing with other tools counts too.
    assert!(!swtpm.try_tool("tpm2_nvread", &[&index, "-C", &index, "-P", "guess"]).0);
    assert_eq!(swtpm.failures(), 1);
    // It changes its own value by its policy only: PolicyCommandCode(NV_ChangeAuth), then PolicyAuthValue.
    swtpm.tool("tpm2_startauthsession", &["-S", "trial"]);
    swtpm.tool("tpm2_policycommandcode", &["-S", "trial", "TPM2_CC_NV_ChangeAuth"]);
    swtpm.tool("tpm2_policyauthvalue", &["-S", "trial", "-L", "policy"]);
    swtpm.tool("tpm2_flushcontext", &["trial"]);
    let policy = hex(&std::fs::read(swtpm.state.path().join("policy")).unwrap());
    assert_eq!(value(&public, "authorization policy").to_lowercase(), policy);
}

#[test]
fn the_counter_is_one_nv_counter_for_all() {
    let computer = Computer::new();
    with_key(&computer);
    let mut other = open(&computer.tpm, &common::Memory::default());
    other.set_pin(&hash("other")).unwrap();
    other.unlock(&hash("other")).unwrap();
    other.next_counter().unwrap();
    drop(other);
    let public = computer.swtpm.tool("tpm2_nvreadpublic", &["0x1bcf0d0"]);
    assert_eq!(attributes(&public), ["authread", "authwrite", "no_da", "nt=0x1", "written"], "{public}");
    let counters = computer.swtpm.tool("tpm2_getcap", &["properties-variable"]);
    assert!(counters.contains("TPM2_PT_NV_COUNTERS: 0x1"), "{counters}");
}
