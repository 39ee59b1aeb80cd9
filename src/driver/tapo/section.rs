//! The section `tapo` of a node in nodes.yaml: its keys, how they are read, and what they are in a JSON schema.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{DISCOVERY_PORT, TapoConfig, TapoProtocol};
use crate::driver::section::{Section, SectionContext};
use crate::reader::schema::{Mac, Secret};
use crate::reader::values::{self, USERNAME_CHARS_MAX};
use crate::reader::{Cursor, Place, Read, secret};

/// The section in words.
pub(super) const SECTION: Section = Section {
    key: "tapo",
    name: "Tapo",
    found_when: "plugs must be in the same network and powered",
    keys: &["address", "mac", "outlet", "protocols", "factory", "username", "password"],
    example: "{ address: 192.0.2.11 }",
    about: "The Tapo plug that it hangs on.",
    about_login: "The TP-Link account to which the plugs are bound.",
    account: "the TP-Link account",
    machine: "a plug",
};

/// The values of `protocols`.
const PROTOCOLS: &[(&str, TapoProtocol)] =
    &[("passthrough", TapoProtocol::Passthrough), ("klap", TapoProtocol::Klap), ("tpap", TapoProtocol::Tpap)];

/// The last outlet of a strip. Strips have up to eight.
const OUTLET_MAX: u8 = 15;

/// The port of a plug whose address is given without one.
const HTTP_PORT: u16 = 80;

/// Reads the section of one node.
pub(super) fn read(at: &Cursor<'_>, context: SectionContext<'_>) -> Read<TapoConfig> {
    let SectionContext { place, taken, login, .. } = context;
    let keys = at.keys(SECTION.keys)?;
    let outlet = keys.optional("outlet", |at| at.whole(0..=i64::from(OUTLET_MAX)));
    let known_outlet = outlet.as_ref().ok().copied();
    let address = keys.required("address", "the plug's host or host:port", |at| {
        let (host, port) = at.parse(values::address)?;
        if let Some(outlet) = known_outlet {
            let key = format!("{host} {} {outlet:?}", port.unwrap_or(HTTP_PORT));
            let claimed = taken.claim("address of a plug", key, place);
            claimed.map_err(|first| at.problem(same_plug(first, outlet)))?;
        }
        Ok((host, port))
    });
    let mac = keys.optional("mac", |at| {
        let mac = at.parse(values::mac)?;
        // Two nodes with one address are told of already.
        if let (Some(outlet), true) = (known_outlet, address.is_ok()) {
            taken.device(mac, "plug", place).map_err(|text| at.problem(text))?;
            let claimed = taken.claim("outlet of a plug", format!("{mac} {outlet:?}"), place);
            claimed.map_err(|first| at.problem(same_plug(first, outlet)))?;
        }
        Ok(mac)
    });
    let protocols = keys.optional("protocols", |at| match at.list(PROTOCOLS.len(), |at| at.word(PROTOCOLS)) {
        Ok(list) if list.is_empty() => Err(at.problem("is empty; name at least one protocol, or leave it out")),
        list => list,
    });
    let factory = keys.optional("factory", |at| at.flag());
    let username = keys.optional("username", |at| at.parse(values::device_user));
    let password = keys.optional("password", secret::secret);
    let username = login.username(username, place);
    let password = login.password(password, place);
    let (host, port) = address?;
    Ok(TapoConfig {
        host,
        port,
        protocols: protocols?.unwrap_or_else(|| TapoProtocol::ALL.to_vec()),
        factory: factory?.unwrap_or(false),
        mac: mac?,
        outlet: outlet?,
        username: username?,
        password: password?,
        discovery_port: DISCOVERY_PORT,
    })
}

fn same_plug(first: Place, outlet: Option<u8>) -> String {
    match outlet {
        Some(outlet) => format!("outlet {outlet} of this strip already switches {first}; one outlet has one node"),
        None => format!("this plug already switches {first}; one plug has one node, on a strip name the outlet"),
    }
}

/// A TP-Link Tapo smart plug, or one outlet of a strip.
#[allow(dead_code)] // only described, never read
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Tapo {
    /// Host or host:port; an IPv6 address with a port is written `[2001:db8::11]:80`.
    #[schemars(length(min = 1), extend("examples" = ["192.0.2.11"]))]
    address: String,
    /// The plug's own hardware address: finds it again when its IP address has changed.
    pub mac: Option<Mac>,
    /// On a strip: which outlet, counted from 0.
    #[schemars(range(min = 0, max = OUTLET_MAX))]
    pub outlet: Option<u8>,
    /// With what the plug may be spoken to; without it with all of them, the one that proves most first. `[klap, tpap]` never
    /// sends the password to a plug that has not proved that it knows the account.
    #[schemars(length(min = 1, max = 3))]
    pub protocols: Option<Vec<TapoProtocol>>,
    /// Log in to a plug that is not bound to the account with the logins that such plugs have. They are public, so that
    /// such a plug proves nothing.
    #[schemars(extend("default" = false))]
    pub factory: Option<bool>,
    /// The e-mail address of the TP-Link account, where it is not that of `defaults`.
    #[schemars(length(min = 1, max = USERNAME_CHARS_MAX))]
    pub username: Option<String>,
    /// Its password.
    pub password: Option<Secret>,
}
