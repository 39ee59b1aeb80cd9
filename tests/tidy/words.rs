//! Words that may not come back: the field has its own for each of them (glossary at the top of `src/lib.rs`).

/// Not in prose, code or messages. Components are no people.
const NOT_IN_PROSE: &[&str] = &["whoever", "nobody", "somebody", "anybody", "everybody", "anew"];

/// Not as names in `src`: with the name that took their place.
const NOT_AS_NAME: &[(&str, &str)] = &[
    ("Keeper", "Supervisor"),
    ("Fallen", "Crashed"),
    ("Surroundings", "NodeContext, Environment"),
    ("Happening", "EventKind"),
    ("Unsettled", "OutstandingActions"),
    ("Findings", "ScanResult"),
    ("Abilities", "Capabilities"),
    ("AboutDevice", "DeviceIdentity"),
    ("Inbox", "WriteQueue"),
    ("Rescue", "Recovery"),
    ("Aside", "Quarantine"),
    ("Ledger", "Manifest, RequestLog"),
    ("Rehearsal", "TestStore"),
    ("Restrained", "Backpressured"),
    ("Guesses", "Throttle"),
    ("Errand", "RequestContext"),
    ("Recipe", "ClientConfig"),
    ("Tally", "RequestGuard"),
    ("Tape", "ExchangeLog"),
    ("DeviceMeters", "DeviceMetrics"),
    ("Unspoken", "UnsupportedProtocol"),
    ("Unproven", "LoginUnconfirmed"),
    ("Disproved", "ProofMismatch"),
    ("Garbled", "InvalidResponse"),
    ("Patience", "RetryBudget"),
    ("Grow", "TreeBuilder"),
    ("Lacking", "MissingDefault"),
    ("Wires", "DeviceRegistry"),
    ("Knock", "AuthRequest"),
    ("Desk", "RequestScope"),
    ("Station", "SimDevice"),
    ("Trick", "WsmanFault"),
];

/// What is wrong with the words of a file.
pub fn wrong(file: &str, text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let words = || line.split(|c: char| !c.is_alphanumeric() && c != '_');
        for word in words() {
            if NOT_IN_PROSE.iter().any(|banned| word.eq_ignore_ascii_case(banned)) {
                wrong.push(format!("{file}:{number}: \"{word}\" has a plainer word"));
            }
            if let Some((_, instead)) =
                NOT_AS_NAME.iter().find(|(banned, _)| file.starts_with("src") && word == *banned)
            {
                wrong.push(format!("{file}:{number}: {word} is called {instead} here"));
            }
        }
    }
    wrong
}
