//! polkit on the system's bus: does it know the wallet's actions, and what does it let this user do?

use super::report::{Health, Report};
use crate::text::safe;
use std::collections::HashMap;
use std::time::Duration;
use zbus::{Connection, Variant};

const POLKIT: &str = "org.freedesktop.PolicyKit1";
const PATH: &str = "/org/freedesktop/PolicyKit1/Authority";
const AUTHORITY: &str = "org.freedesktop.PolicyKit1.Authority";
/// How long polkit may take. Nobody is asked anything.
const LIMIT: Duration = Duration::from_secs(5);

/// Without it nobody pays or enrolls.
const CLAIM_ORIGIN: &str = "io.github.fwpd.claim-origin";
/// What polkit decides, besides, and what of the wallet it is.
const ACTIONS: [(&str, &str); 4] = [
    ("io.github.fwpd.enroll", "enroll"),
    ("io.github.fwpd.manage", "manage"),
    ("io.github.fwpd.export", "export and import"),
    ("io.github.fwpd.unlock-other", "unlock another's wallet"),
];

const REINSTALL: &str =
    "\"sudo apt install --reinstall fwpd\": io.github.fwpd.policy belongs into /usr/share/polkit-1/actions";
const RULE: &str = "log in at the machine, or the administrator allows it by a rule (docs/admin.md)";

/// One action as polkit lists it: id, description, message, vendor, its URL, icon, what is implied for any, inactive and active
/// sessions, annotations.
type Listed = (String, String, String, String, String, String, u32, u32, u32, HashMap<String, String>);

/// polkit's answer for this very process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Yes,
    /// After a password.
    Password,
    No,
}

/// The action and the answer for it, of those that polkit knows.
type Answers = Vec<(String, Answer)>;

pub(super) async fn polkit(report: &mut Report, system: &Connection) {
    let answers = match tokio::time::timeout(LIMIT, ask(system)).await {
        Ok(Ok(answers)) => Ok(answers),
        Ok(Err(error)) => Err(safe(&error.to_string()).to_string()),
        Err(_) => Err(format!("it takes longer than {} s", LIMIT.as_secs())),
    };
    judge(report, &answers);
}

async fn ask(system: &Connection) -> zbus::Result<Answers> {
    let reply = system.call_method(Some(POLKIT), PATH, Some(AUTHORITY), "EnumerateActions", &("",)).await?;
    let listed: Vec<Listed> = reply.body().deserialize()?;
    let this = system.unique_name().map(|name| name.as_str()).unwrap_or_default();
    let mut answers = Vec::new();
    for name in [CLAIM_ORIGIN].into_iter().chain(ACTIONS.map(|(name, _)| name)) {
        if !listed.iter().any(|action| action.0 == name) {
            continue;
        }
        // About itself any process may ask. Without interaction: nobody is to be asked for a password here.
        let subject = ("system-bus-name", HashMap::from([("name", Variant::from(this))]));
        let question = (subject, name, HashMap::<&str, &str>::new(), 0_u32, "");
        let reply =
            system.call_method(Some(POLKIT), PATH, Some(AUTHORITY), "CheckAuthorization", &question).await?;
        let ((may, with_password, _),): ((bool, bool, HashMap<String, String>),) =
            reply.body().deserialize()?;
        let answer = match (may, with_password) {
            (true, _) => Answer::Yes,
            (false, true) => Answer::Password,
            (false, false) => Answer::No,
        };
        answers.push((name.to_owned(), answer));
    }
    Ok(answers)
}

fn judge(report: &mut Report, answers: &Result<Answers, String>) {
    let answers = match answers {
        Ok(answers) => answers,
        Err(why) => {
            return report.add(
                "policy",
                Health::Bad,
                format!("polkit does not answer ({why}), so the wallet refuses what polkit decides"),
                "\"sudo apt install polkitd\"",
            );
        }
    };
    let of = |name: &str| answers.iter().find(|(known, _)| known == name).map(|(_, answer)| *answer);
    let missing: Vec<_> = [CLAIM_ORIGIN]
        .into_iter()
        .chain(ACTIONS.map(|(name, _)| name))
        .filter(|name| of(name).is_none())
        .collect();
    if !missing.is_empty() {
        report.add("policy", Health::Bad, format!("polkit does not know {}", missing.join(", ")), REINSTALL);
    }
    match of(CLAIM_ORIGIN) {
        Some(Answer::Yes) => report.good("policy", "you may pay and enroll from here"),
        // polkit is never asked for this one with interaction.
        Some(Answer::Password | Answer::No) => report.add(
            "policy",
            Health::Warning,
            "you may not pay or enroll from here: as shipped, who is logged in at this computer and active may",
            RULE,
        ),
        None => {}
    }
    let words = |wanted: Answer| -> Vec<&str> {
        ACTIONS.iter().filter(|(name, _)| of(name) == Some(wanted)).map(|(_, word)| *word).collect()
    };
    let (freely, by_password, never) = (words(Answer::Yes), words(Answer::Password), words(Answer::No));
    if !freely.is_empty() {
        report.good("policy", format!("you may {}", freely.join(", ")));
    }
    if !by_password.is_empty() {
        report.good("policy", format!("a password is asked for before you {}", by_password.join(", ")));
    }
    if !never.is_empty() {
        report.add("policy", Health::Warning, format!("you may not {}", never.join(", ")), RULE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(answers: Result<Answers, String>) -> String {
        let mut report = Report::default();
        judge(&mut report, &answers);
        for check in &report.0 {
            assert!(check.health == Health::Good || check.remedy.is_some(), "{check:?}");
        }
        report.text()
    }

    fn all(claim: Answer, others: Answer) -> Answers {
        let others = ACTIONS.map(|(name, _)| (name.to_owned(), others));
        [(CLAIM_ORIGIN.to_owned(), claim)].into_iter().chain(others).collect()
    }

    #[test]
    fn what_polkit_says_is_told_with_its_remedy() {
        let silent = judged(Err("ServiceUnknown".to_owned()));
        assert!(silent.starts_with("problem  policy") && silent.contains("apt install polkitd"), "{silent}");
        let none = judged(Ok(Vec::new()));
        assert!(
            none.contains("does not know io.github.fwpd.claim-origin") && none.contains("--reinstall"),
            "{none}"
        );
        let active = judged(Ok(all(Answer::Yes, Answer::Yes)));
        assert!(!active.contains("warning") && active.contains("you may pay and enroll"), "{active}");
        let inactive = judged(Ok(all(Answer::No, Answer::Password)));
        assert!(
            inactive.contains("warning  policy         you may not pay or enroll from here"),
            "{inactive}"
        );
        assert!(inactive.contains("a password is asked for before you enroll, manage"), "{inactive}");
        let nobody = judged(Ok(all(Answer::No, Answer::No)));
        assert!(nobody.contains("you may not enroll, manage"), "{nobody}");
        let mut one_less = all(Answer::Yes, Answer::Yes);
        one_less.retain(|(name, _)| !name.ends_with("export"));
        let one_less = judged(Ok(one_less));
        assert!(one_less.contains("does not know io.github.fwpd.export;"), "{one_less}");
    }

    #[test]
    fn the_actions_are_those_of_the_packaged_policy() {
        let packaged = include_str!("../../../../packaging/polkit/io.github.fwpd.policy");
        let packaged: Vec<_> = packaged
            .split("<action id=\"")
            .skip(1)
            .map(|rest| rest.split('"').next().unwrap_or_default())
            .collect();
        let mut ours: Vec<_> = [CLAIM_ORIGIN].into_iter().chain(ACTIONS.map(|(name, _)| name)).collect();
        let mut theirs = packaged;
        ours.sort_unstable();
        theirs.sort_unstable();
        assert_eq!(ours, theirs);
    }
}
