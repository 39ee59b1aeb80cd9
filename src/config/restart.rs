//! What of another configuration takes effect at the next start only. Pure.

use super::{AccountSeed, Config, TlsConfig};

/// The keys whose change needs a start. The nodes need none.
pub fn needs_restart(old: &Config, new: &Config) -> Vec<&'static str> {
    let (was, is) = (&old.server, &new.server);
    let parts = [
        ("server.listen", was.listen != is.listen),
        ("server.tls", needs_new_listener(was.tls.as_ref(), is.tls.as_ref())),
        ("server.auth", was.auth_required != is.auth_required),
        ("server.metrics", was.metrics != is.metrics),
        ("server.host_names", was.host_names != is.host_names),
        ("server.trusted_proxies", was.trusted_proxies != is.trusted_proxies),
        ("state_dir", old.state_dir != new.state_dir),
        ("accounts", new.accounts.iter().any(|account| is_new(account, &old.accounts))),
    ];
    parts.into_iter().filter(|(_, changed)| *changed).map(|(part, _)| part).collect()
}

/// An account that was there before is in the store, and stays as it is there whatever the file says.
fn is_new(account: &AccountSeed, before: &[AccountSeed]) -> bool {
    before.iter().all(|known| known.username != account.username)
}

/// A certificate from files takes the place of any other while serving. What needs a start is to begin or to end TLS,
/// and to make a certificate.
fn needs_new_listener(was: Option<&TlsConfig>, is: Option<&TlsConfig>) -> bool {
    match (was, is) {
        (Some(_), Some(TlsConfig::Files { .. })) => false,
        _ => was != is,
    }
}
