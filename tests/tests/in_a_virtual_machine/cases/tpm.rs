//! The machine's TPM, which the kernel's resource manager shares among programs. None of this is root's.

use std::os::unix::fs::MetadataExt;
use std::process::Command;

use fwp_dbus::types::{AuthenticatorInfo, EnrollmentOptions};
use fwp_tests::{QUICK, enroll_with};
use tss_esapi::attributes::ObjectAttributesBuilder;
use tss_esapi::interface_types::algorithm::{HashingAlgorithm, PublicAlgorithm};
use tss_esapi::interface_types::ecc::EccCurve;
use tss_esapi::interface_types::resource_handles::Hierarchy;
use tss_esapi::interface_types::session_handles::AuthSession;
use tss_esapi::structures::{
    EccPoint, EccScheme, HashScheme, KeyDerivationFunctionScheme, Public, PublicBuilder,
    PublicEccParametersBuilder, SymmetricDefinitionObject,
};
use tss_esapi::{Context, TctiNameConf};
use zbus::OwnedObjectPath;

use super::stage::{CARD, Stage, output};

const DEVICE: &str = "/dev/tpmrm0";
/// A TPM has room for three objects at least, and most have no more (TCG PC Client Platform TPM Profile, section 3.6).
const ROOM: usize = 3;

/// The wallet's settings: the TPM is where it is by default.
fn settings() -> String {
    format!("{QUICK}[tpm]\n")
}

pub(super) fn the_kernel_gives_the_tpm_to_group_tss() {
    assert!(!rustix::process::getuid().is_root());
    let metadata = std::fs::metadata(DEVICE).unwrap();
    // The guest's group file.
    let group = output(Command::new("sed").args(["-n", "s/^tss:x:\\([0-9]*\\):.*/\\1/p", "/etc/group"]));
    assert_eq!((metadata.mode() & 0o777, metadata.gid().to_string()), (0o660, group.trim().to_owned()));
    let properties = output(&mut getcap("properties-fixed"));
    assert!(properties.contains("TPM2_PT_FAMILY_INDICATOR"), "{properties}");
}

pub(super) fn the_demo_enrolls_and_pays_with_the_tpm_and_the_bank_sees_its_attestation() {
    let mut demo = Command::new("bash");
    demo.arg("/demo/scripts/demo.sh").env("KEY", "tpm");
    demo.env("DEMO_TPM", format!("device:{DEVICE}")).env("DEMO_TPM_ROOTS", "/tpm-roots.pem");
    let demo = demo.output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&demo.stdout), String::from_utf8_lossy(&demo.stderr));
    assert!(demo.status.success() && text.contains("booked"), "{}\n{text}", demo.status);
}

pub(super) fn two_wallets_pay_while_another_program_fills_the_tpm() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut stages = [Stage::with(&settings()).await, Stage::with(&settings()).await];
        for stage in &stages {
            let (path, _) = tpm(stage).await;
            let options = EnrollmentOptions { authenticator: Some(path), ..EnrollmentOptions::default() };
            let cards = enroll_with(&stage.page, &stage.bank, &[CARD], &options).await;
            cards.unwrap_or_else(|error| panic!("{error}\n{}", stage.fwpd.log()));
            let listed = stage.page.wallet().await.unwrap().list_credentials().await.unwrap();
            assert_eq!(listed[0].1.authenticator, "tpm");
        }
        let others = [fill(), fill()];
        let [one, other] = &mut stages;
        for _ in 0..3 {
            // Both ask the TPM at the same time.
            let mut payments = (one.payment().await, other.payment().await);
            tokio::join!(one.is_good(&mut payments.0), other.is_good(&mut payments.1));
        }
        for mut other in others {
            // Theirs are still there, wherever the kernel has kept them meanwhile.
            assert!(other.1.drain(..).all(|key| other.0.read_public(key).is_ok()));
        }
        drop(stages);
        assert_eq!(output(&mut getcap("handles-transient")).trim(), "");
    });
}

pub(super) fn who_is_not_in_group_tss_is_told_so() {
    assert!(!rustix::process::getuid().is_root());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let stage = Stage::with(&settings()).await;
        let (path, info) = tpm(&stage).await;
        assert!(!info.usable && info.problem.contains("\"tss\""), "{info:?}");
        let options = EnrollmentOptions { authenticator: Some(path), ..EnrollmentOptions::default() };
        let error = enroll_with(&stage.page, &stage.bank, &[CARD], &options).await.unwrap_err().to_string();
        assert!(error.contains("\"tss\""), "{error}");
        // The key made in software needs no such right.
        stage.enroll().await;
    });
}

/// The wallet's TPM.
async fn tpm(stage: &Stage) -> (OwnedObjectPath, AuthenticatorInfo) {
    let all = stage.page.wallet().await.unwrap().list_authenticators().await.unwrap();
    let found = all.iter().find(|(_, info)| info.kind == "tpm").cloned();
    found.unwrap_or_else(|| panic!("{all:?}\n{}", stage.fwpd.log()))
}

fn getcap(what: &str) -> Command {
    let mut command = Command::new("tpm2_getcap");
    command.arg(what).env("TPM2TOOLS_TCTI", format!("device:{DEVICE}")).env("TSS2_LOG", "all+none");
    command
}

/// A program that has as many objects loaded as the TPM has room for.
fn fill() -> (Context, Vec<tss_esapi::handles::KeyHandle>) {
    let address: TctiNameConf = format!("device:{DEVICE}").parse().unwrap();
    let mut context = Context::new(address).unwrap();
    let keys = (0..ROOM).map(|_| {
        let made = context.execute_with_session(Some(AuthSession::Password), |context| {
            context.create_primary(Hierarchy::Owner, signing_key(), None, None, None, None)
        });
        made.unwrap().key_handle
    });
    let keys = keys.collect();
    (context, keys)
}

fn signing_key() -> Public {
    let attributes = ObjectAttributesBuilder::new()
        .with_fixed_tpm(true)
        .with_fixed_parent(true)
        .with_sensitive_data_origin(true)
        .with_user_with_auth(true)
        .with_sign_encrypt(true)
        .build()
        .unwrap();
    let parameters = PublicEccParametersBuilder::new()
        .with_symmetric(SymmetricDefinitionObject::Null)
        .with_ecc_scheme(EccScheme::EcDsa(HashScheme::new(HashingAlgorithm::Sha256)))
        .with_curve(EccCurve::NistP256)
        .with_key_derivation_function_scheme(KeyDerivationFunctionScheme::Null)
        .with_is_signing_key(true)
        .build()
        .unwrap();
    PublicBuilder::new()
        .with_public_algorithm(PublicAlgorithm::Ecc)
        .with_name_hashing_algorithm(HashingAlgorithm::Sha256)
        .with_object_attributes(attributes)
        .with_ecc_parameters(parameters)
        .with_ecc_unique_identifier(EccPoint::default())
        .build()
        .unwrap()
}
