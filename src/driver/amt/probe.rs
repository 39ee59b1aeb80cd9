//! Whether an AMT machine is at an address, as far as it says without a login.
//!
//! Shipping firmware is not known to answer Identify without a login; its 401 tells all the same who it is.

use secrecy::SecretString;

use super::AmtConfig;
use super::connection::{Repeat, Step, Timing, WsMan, challenge_in, sort, version_in};
use super::fault::{Fault, Kind};
use super::wsman;
use crate::driver::DeviceContext;
use crate::driver::http::{Certificate, Tls};

/// What a machine says without a login.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// `16.1.25`.
    pub version: Option<String>,
    /// The Digest realm: the machine's own until it is provisioned again.
    pub realm: Option<String>,
    /// `Intel(r)`, if Identify was answered.
    pub vendor: Option<String>,
    /// What it showed over TLS.
    pub certificate: Option<Certificate>,
}

/// Asks once. `port` when it is not the usual one.
pub(crate) async fn probe(
    host: &str,
    port: Option<u16>,
    tls: Tls,
    context: DeviceContext,
    timing: Timing,
) -> Result<Found, Fault> {
    let anonymous = AmtConfig {
        host: host.into(),
        port,
        tls,
        username: String::new(),
        password: SecretString::default(),
        uuid: None,
    };
    let mut wire = WsMan::with_timing(anonymous, context, timing);
    let step = Step { op: "discover", step: "Identify", repeat: Repeat::Safe, attempt: 1 };
    let answer = wire.send(step, &wsman::identify()).await?;
    let version = wire.server_version().map(str::to_owned);
    let certificate = wire.certificate();
    if answer.status != 401 {
        let identity = wsman::identity(&sort(answer)?)?;
        let said = identity.version.as_deref().and_then(version_in).map(str::to_owned);
        return Ok(Found { version: version.or(said), vendor: identity.vendor, realm: None, certificate });
    }
    let realm = challenge_in(&answer)?.realm;
    let server = wire.server().unwrap_or("");
    if server.contains("Active Management") || server == "AMT" || realm.starts_with("Digest:") {
        return Ok(Found { version, realm: Some(realm), vendor: None, certificate });
    }
    Err(Fault::new(Kind::UnsupportedProtocol, "what answers asks for a login, but not as AMT does"))
}
