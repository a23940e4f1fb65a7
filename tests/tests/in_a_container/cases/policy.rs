//! Who may do what: the bus' policy, the daemon's own, polkit's and logind's.

use fwp_tests::until;
use serde_json::json;

use crate::person::Person;
use crate::system;

const NAME: &str = "io.github.fwpd";

pub(super) fn nobody_else_owns_the_name_or_asks_an_agent() {
    let mut anna = Person::at_the_seat("anna");
    anna.does(json!({"do": "hello"}));
    let desktop = anna.does(json!({"do": "name"}));
    for name in ["bruno", "anna", "root"] {
        let mut other = Person::elsewhere(name);
        let owning = other.tries(json!({"do": "own", "name": NAME}));
        assert!(owning["failed"].as_str().unwrap().contains("not allowed to own"), "{name}: {owning}");
        let asking = json!({"do": "call", "to": desktop, "path": "/io/github/fwpd/TestAgent",
                            "interface": "io.github.fwpd.Agent1", "method": "Cancel"});
        let asking = other.tries(asking);
        assert!(asking["failed"].as_str().unwrap().contains("AccessDenied"), "{name}: {asking}");
    }
    assert_eq!(anna.does(json!({"do": "prompts"})), 0);
}

pub(super) fn calls_without_an_interface_are_not_its_policys_business() {
    // The bus leaves it to callers to name one; a policy that denies calls of some interface denies these too, to whatever service.
    let mut bruno = Person::elsewhere("bruno");
    bruno.does(
        json!({"do": "call", "to": NAME, "path": "/io/github/fwpd/Wallet", "method": "ListCredentials"}),
    );
    let (polkit, authority) = ("org.freedesktop.PolicyKit1", "/org/freedesktop/PolicyKit1/Authority");
    let other = bruno.tries(json!({"do": "call", "to": polkit, "path": authority, "method": "NoSuchThing"}));
    // polkit's own word, and not the bus'.
    assert!(other["failed"].as_str().unwrap().contains("UnknownMethod"), "{other}");
}

pub(super) fn anothers_objects_do_not_exist() {
    let mut anna = Person::at_the_seat("anna");
    anna.enrolls("1");
    let payment = anna.does(json!({"do": "ask", "order": "1"}));
    let cards = anna.does(json!({"do": "cards"}));
    for name in ["bruno", "root"] {
        let mut other = Person::elsewhere(name);
        let daemon = other.does(json!({"do": "hello"}));
        assert_eq!(other.does(json!({"do": "cards"})), json!([]));
        for (path, interface, method) in [
            (&payment, "io.github.fwpd.Payment1", "Abort"),
            (&payment, "org.freedesktop.DBus.Introspectable", "Introspect"),
            (&cards[0][0], "io.github.fwpd.Credential1", "Delete"),
        ] {
            let call =
                json!({"do": "call", "to": daemon, "path": path, "interface": interface, "method": method});
            let end = other.tries(call);
            let refused = end["refused"].as_str().or(end["failed"].as_str()).unwrap_or_default();
            // As for a path that never was.
            let absent = ["NotFound", "UnknownObject"].iter().any(|name| refused.contains(name));
            // What introspection tells of a path that is not there is nothing.
            assert!(absent, "{name}: {path} {method}: {end}");
        }
    }
    // It is untouched.
    anna.does(json!({"do": "abort"}));
    assert_eq!(anna.does(json!({"do": "cards"})).as_array().unwrap().len(), 1);
}

pub(super) fn who_is_not_at_the_seat_may_not_name_a_payee() {
    let mut bruno = Person::elsewhere("bruno");
    for what in [json!({"do": "pay", "order": "1"}), json!({"do": "enroll", "account": "1"})] {
        let text = bruno.is_refused(what, "AccessDenied");
        assert!(text.contains("io.github.fwpd.claim-origin"), "{text}");
    }
    // Nor who was at the seat before somebody else came.
    let mut anna = Person::at_the_seat("anna");
    anna.enrolls("1");
    let clara = Person::at_the_seat("clara");
    // polkit may hear of it a moment after logind; the keys' owner has changed at once.
    until("polkit's refusal", || {
        let end = anna.tries(json!({"do": "pay", "order": "1"}));
        assert!(end["refused"] == "NoAuthenticator" || end["refused"] == "AccessDenied", "{end}");
        end["message"].as_str()?.contains("io.github.fwpd.claim-origin").then_some(())
    });
    drop(clara);
}

pub(super) fn who_is_not_at_the_seat_is_told_what_polkit_wants() {
    // A browser on a server, say: everybody may name a payee.
    system::settings("claim-origin = \"any\"\n[keys]\nseats = \"ignore\"\n");
    let mut bruno = Person::elsewhere("bruno");
    let text = bruno.is_refused(json!({"do": "enroll", "account": "1"}), "AccessDenied");
    assert!(text.contains("io.github.fwpd.enroll"), "{text}");
    let text = bruno.is_refused(json!({"do": "export"}), "AccessDenied");
    assert!(text.contains("io.github.fwpd.export"), "{text}");
    let text = bruno.is_refused(json!({"do": "unlock-for", "uid": 1000}), "AccessDenied");
    assert!(text.contains("io.github.fwpd.unlock-other"), "{text}");
    // Where the seats count, there is no key for who is at none, before any question.
    system::stop();
    system::settings("claim-origin = \"any\"\nauthorize = \"any\"\n");
    let mut bruno = Person::elsewhere("bruno");
    bruno.is_refused(json!({"do": "enroll", "account": "1"}), "NoAuthenticator");
    assert_eq!(bruno.does(json!({"do": "prompts"})), 0);
}

pub(super) fn the_active_user_of_the_seat_enrolls_and_pays() {
    let mut anna = Person::at_the_seat("anna");
    anna.enrolls("1");
    anna.pays("1");
    anna.does(json!({"do": "export"}));
    // Another user's wallet is an administrator's business, and takes a password.
    let text = anna.is_refused(json!({"do": "unlock-for", "uid": 0}), "AccessDenied");
    assert!(text.contains("io.github.fwpd.unlock-other"), "{text}");
    // The seat's next user has a wallet of their own.
    let mut bruno = Person::at_the_seat("bruno");
    bruno.enrolls("2");
    bruno.pays("1");
    assert_eq!(bruno.does(json!({"do": "cards"})).as_array().unwrap().len(), 1);
    bruno.does(json!({"do": "delete"}));
    assert_eq!(bruno.does(json!({"do": "cards"})), json!([]));
}

pub(super) fn the_administrators_rules_count() {
    system::settings("[keys]\nseats = \"ignore\"\n");
    system::rules(
        "polkit.addRule(function(action, subject) {\n\
           if (action.id.indexOf('io.github.fwpd.') == 0 && subject.user == 'bruno') return polkit.Result.YES;\n\
           if (action.id == 'io.github.fwpd.export' && subject.user == 'anna') return polkit.Result.NO;\n\
         });\n",
    );
    let mut bruno = Person::elsewhere("bruno");
    bruno.enrolls("1");
    bruno.pays("1");
    let mut anna = Person::at_the_seat("anna");
    anna.enrolls("2");
    let text = anna.is_refused(json!({"do": "export"}), "AccessDenied");
    assert!(text.contains("io.github.fwpd.export"), "{text}");
    let mut clara = Person::elsewhere("clara");
    clara.is_refused(json!({"do": "pay", "order": "1"}), "AccessDenied");
}
