//! Who may ask the user: the registered agent, one per user.

/// What an agent runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AgentKind {
    /// A window of its own on the desktop.
    Desktop,
    /// A terminal.
    Terminal,
}

/// An agent: its connection, and what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent<O> {
    /// The connection that it lives on.
    pub owner: O,
    /// What it runs on.
    pub kind: AgentKind,
}

/// What becomes of an agent that wants to register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registration {
    /// It is the agent from now on.
    Accept,
    /// Ask the present agent's user first; on yes it is the agent, if the present one is still the one that was asked.
    AskPresent,
    /// Something is before the user, so not now.
    Busy,
}

/// What becomes of an agent that wants to register. None registers while something is before the user (`busy`), lest
/// a prompt change hands. The first one is accepted, and the same connection again; everything else needs the present
/// agent's consent, since whoever is the agent says yes and no for the user.
pub fn register<O: PartialEq>(present: Option<&Agent<O>>, candidate: &Agent<O>, busy: bool) -> Registration {
    match present {
        _ if busy => Registration::Busy,
        None => Registration::Accept,
        Some(present) if present.owner == candidate.owner => Registration::Accept,
        Some(_) => Registration::AskPresent,
    }
}

/// Whether `agent` may ask the user about something that `requester` wants. A requester is never its own agent while a
/// desktop agent lives; a terminal may be, since it registers only where there is none.
pub fn may_ask_for<O: PartialEq>(agent: &Agent<O>, requester: &O) -> bool {
    agent.owner != *requester || agent.kind == AgentKind::Terminal
}
