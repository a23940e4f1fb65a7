//! Two users at once; and what one of them can't do to the other.

use std::process::{Command, Stdio};
use std::time::Instant;

use fwp_tests::container::TPM_PORT;
use serde_json::{Value, json};
use virtual_tpm::Swtpm;

use crate::person::{self, Person};
use crate::system::{self, memory, pid, property, run};

/// How many payments each makes.
const PAYMENTS: usize = 3;

/// Whether two users pay at the same time, or in turn.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    AtOnce,
    InTurn,
}

/// Both enroll, and pay as often. `kind`: of the authenticator.
pub(super) fn both_pay(kind: Option<&str>, pace: Pace) {
    let mut people = [Person::elsewhere("anna"), Person::elsewhere("bruno")];
    for person in &mut people {
        person.does(json!({"do": "hello"}));
    }
    let each = |people: &mut [Person], what: Value| match pace {
        Pace::AtOnce => {
            people.iter_mut().for_each(|person| person.begin(&what));
            for end in people.iter_mut().map(Person::end) {
                assert!(end.get("ok").is_some(), "{what}: {end}");
            }
        }
        Pace::InTurn => {
            for person in people {
                person.does(what.clone());
            }
        }
    };
    each(&mut people, json!({"do": "enroll", "account": "1", "kind": kind}));
    for order in 0..PAYMENTS {
        each(&mut people, json!({"do": "pay", "order": order.to_string()}));
    }
    for person in &mut people {
        assert_eq!(person.does(json!({"do": "cards"})).as_array().unwrap().len(), 1);
        let history = person.does(json!({"do": "history"}));
        assert_eq!(history.as_array().unwrap().len(), PAYMENTS, "{history}");
        (0..PAYMENTS)
            .for_each(|order| assert!(person::authorized(&history, &order.to_string()), "{history}"));
    }
}

pub(super) fn two_users_enroll_and_pay_at_once() {
    system::settings(system::SERVER);
    both_pay(None, Pace::AtOnce);
}

pub(super) fn two_users_pay_in_turn_with_keys_in_the_tpm_and_a_credential_that_only_it_opens() {
    // A TPM of this computer would be /dev/tpmrm0: there is one in the virtual machine. This one is a program, at the other end of a
    // connection that the unit does not let the service make: hence the drop-in, for this case alone.
    let tpm = Swtpm::at(TPM_PORT);
    let address = format!("swtpm:host=127.0.0.1,port={}", tpm.port);
    let seal = format!(
        "head -c 32 /dev/urandom | SYSTEMD_TPM2_DEVICE={address} systemd-creds encrypt --with-key=tpm2 --tpm2-pcrs=22 \
         --name=fwpd.wallet-key - {}",
        system::CREDENTIAL
    );
    run(&["sh", "-c", &seal]);
    system::settings(&format!("{}[tpm]\naddress = \"{address}\"\n", system::SERVER));
    system::drop_in("[Service]\nRestrictAddressFamilies=AF_INET\nIPAddressAllow=127.0.0.1\n");
    let mut anna = Person::elsewhere("anna");
    anna.does(json!({"do": "hello"}));
    // What systemd left there when it made and opened the credential: behind /dev/tpmrm0 the kernel forgets it with its program.
    for what in ["--transient-object", "--loaded-session", "--saved-session"] {
        tpm.tool("tpm2_flushcontext", &[what]);
    }
    drop(anna);
    // It has room for one ceremony: in turn, here. At once is the virtual machine's case, with the kernel's resource manager.
    both_pay(Some("tpm"), Pace::InTurn);
    let mut anna = Person::elsewhere("anna");
    let store = anna.does(json!({"do": "store"}));
    let cards = anna.does(json!({"do": "cards"}));
    drop(anna);
    system::stop();
    assert_eq!(
        (&store["slot"], &cards[0][1]),
        (&json!("systemd credential"), &json!("tpm")),
        "{store} {cards}"
    );
    assert_eq!(tpm.left(), Vec::<String>::new());
}

/// How many hostile calls there are.
const HOSTILE: usize = 10_000;
/// What they may add to the daemon's memory, in bytes: the buffers of as many connections and calls as it lets a user have.
const MOST: u64 = 64 << 20;
/// What the second half of them may add to what the first half did.
const LEAK: u64 = 12 << 20;

pub(super) fn one_users_flood_of_hostile_calls_costs_another_nothing() {
    system::settings(&format!(
        "{}[platform-keys]\nday = \"unlimited\"\npayments-per-hour = \"unlimited\"\n[limits]\nprompts-per-minute = \"unlimited\"\n",
        system::SERVER
    ));
    let mut anna = Person::elsewhere("anna");
    anna.enrolls("the-account-of-anna");
    let mut paid = 0;
    let mut pay = |anna: &mut Person| {
        let started = Instant::now();
        anna.pays(&format!("order-{paid}"));
        paid += 1;
        started.elapsed()
    };
    let usual = median((0..10).map(|_| pay(&mut anna)).collect());
    // What is hers: paths of her objects and her account are not to be seen by anybody.
    let open = anna.does(json!({"do": "ask", "order": "secret-order"}));
    let cards = anna.does(json!({"do": "cards"}));
    let (paths, secrets) = ("/tmp/paths", "/tmp/secrets");
    std::fs::write(paths, format!("{}\n{}\n", open.as_str().unwrap(), cards[0][0].as_str().unwrap()))
        .unwrap();
    std::fs::write(secrets, "the-account-of-anna\nsecret-order\n").unwrap();
    anna.does(json!({"do": "abort"}));
    let pid = pid();
    let before = memory(&pid);
    let mut during = Vec::new();
    // Half of them each: what the first half leaves behind may be the most that is ever in use, what a second one adds is a leak.
    let [half, after] = ["6", "7"].map(|seed| {
        let arguments = ["--system", "--seed", seed, "--paths", paths, "--secrets", secrets];
        let mut hostile = Command::new("runuser")
            .args([
                "--user",
                "bruno",
                "--",
                "/mnt/fwpd/hostile-caller",
                "--count",
                &(HOSTILE / 2).to_string(),
            ])
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        while hostile.try_wait().unwrap().is_none() {
            during.push(pay(&mut anna));
        }
        let output = hostile.wait_with_output().unwrap();
        let summary = String::from_utf8_lossy(&output.stdout);
        // It is its own judge of whether it saw something of hers.
        assert!(output.status.success(), "{output:?}");
        println!("hostile calls: {}", summary.trim());
        memory(&pid)
    });
    let (count, flooded) = (during.len(), median(during));
    println!(
        "memory {} kB before, {} kB after half of it, {} kB after; a payment {usual:?} usually, {flooded:?} meanwhile \
         ({count} payments; the caller's own work takes the processor too)",
        before / 1024,
        half / 1024,
        after / 1024
    );
    assert_eq!(system::pid(), pid, "it is still the same process");
    assert_eq!(property("NRestarts"), "0");
    assert!(count > 0, "she paid meanwhile");
    assert!(after < half + LEAK && after < before + MOST, "{before} bytes before, {half}, {after} after");
    anna.pays("afterwards");
}

fn median<T: Ord + Copy>(mut values: Vec<T>) -> T {
    values.sort_unstable();
    values[values.len() / 2]
}
