//! What a machine says of itself that hardly ever changes: asked for once, piece by piece, beside the readings.
//!
//! Nothing here is needed to read or to switch the power, so nothing here can make a reading fail.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use uuid::Uuid;

use super::boot;
use super::connection::{Repeat, WsMan};
use super::fault::{Fault, Kind};
use super::xml::Instance;
use crate::clock::Mono;
use crate::node::device::Notice;
use crate::node::{BootTarget, MacAddress};

/// What the meters call these requests.
const OP: &str = "about";

/// No piece is begun when a reading has spent this long on pieces: the rest is for the next reading.
const BEGIN_WITHIN: Duration = Duration::from_secs(6);

/// Longest time for one piece. With the one begun last, a reading spends at most both times on pieces.
const PIECE_MAX: Duration = Duration::from_secs(8);

/// How often a piece is asked for that gets no answer; then it is taken for absent, until everything is asked again.
const TRIES_MAX: u32 = 3;

/// After this everything is asked again: someone may have set the machine up in another way.
const ASKED_ANEW_AFTER: Duration = Duration::from_secs(3600);

/// `LinkPolicy`: reachable while the machine is off, on mains.
const LINK_WHILE_OFF: u32 = 14;

/// Tells the UUID, and on old firmware who is in control.
const SETUP: &str = "AMT_SetupAndConfigurationService";

/// Longest version that is shown. Real ones have a dozen characters.
const VERSION_CHARACTERS_MAX: usize = 32;

/// `OptInRequired`: consent for everything.
const CONSENT_FOR_ALL: u32 = 0xFFFF_FFFF;

/// The pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece {
    Boot,
    Control,
    Consent,
    Port,
    Versions,
}

const PIECES: [Piece; 5] = [Piece::Boot, Piece::Control, Piece::Consent, Piece::Port, Piece::Versions];

/// What is known of a machine so far. What it does not say stays `None`.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// `16.1.25.1424`.
    pub firmware: Option<String>,
    /// Of the wired port.
    pub mac: Option<MacAddress>,
    /// The boot targets that it has.
    pub boot_targets: Option<Vec<BootTarget>>,
    /// 0 not set up, 1 client control, 2 admin control.
    control_mode: Option<u32>,
    consent_for_all: bool,
    unreachable_when_off: bool,
    /// What is still to be asked, and how often it was.
    open: Vec<(Piece, u32)>,
    asked: Option<Mono>,
}

impl Facts {
    /// Asks everything again at the next reading. What is known stays until then.
    pub(super) fn ask_anew(&mut self) {
        self.asked = None;
    }

    /// Asks for what is open, as far as there is time for it.
    pub(super) async fn learn(&mut self, ws: &mut WsMan) {
        let clock = ws.context().clock.clone();
        let begun = clock.now().mono;
        if self.asked.is_none_or(|asked| begun.since(asked) >= ASKED_ANEW_AFTER) {
            self.asked = Some(begun);
            self.open = PIECES.map(|piece| (piece, 0)).into();
        }
        for _ in 0..self.open.len() {
            if clock.now().mono.since(begun) >= BEGIN_WITHIN {
                return;
            }
            let Some((piece, tries)) = self.open.first_mut() else { return };
            *tries += 1;
            let last = *tries >= TRIES_MAX;
            let piece = *piece;
            let asked = clock.limit(PIECE_MAX, self.ask(piece, ws)).await;
            if last || matches!(asked, Some(Ok(()))) {
                self.open.retain(|(open, _)| *open != piece);
                continue;
            }
            self.open.rotate_left(1);
            // On a bad line more requests now would only cost time; other answers concern this piece alone.
            if asked.is_none_or(|asked| asked.is_err_and(|fault| fault.is_silence())) {
                return;
            }
        }
    }

    async fn ask(&mut self, piece: Piece, ws: &mut WsMan) -> Result<(), Fault> {
        match piece {
            Piece::Boot => {
                let Some(capabilities) = there(ws.get_once(OP, boot::CAPABILITIES).await)? else {
                    self.boot_targets = Some(vec![BootTarget::None]);
                    return Ok(());
                };
                let https = boot::has_recovery(&capabilities)
                    && there(ws.get_once(OP, boot::SETTINGS).await)?
                        .is_some_and(|settings| settings.boolean("UEFIHTTPSBootEnabled") == Some(true));
                self.boot_targets = Some(boot::targets(&capabilities, https));
            }
            Piece::Control => {
                let service = there(ws.get_once(OP, "IPS_HostBasedSetupService").await)?;
                let mode: Option<u32> = service.and_then(|service| service.number("CurrentControlMode"));
                self.control_mode = match mode {
                    Some(mode) => Some(mode),
                    // Before AMT 6.2: 1 admin control, 4 client control.
                    None => {
                        match there(ws.get_once(OP, SETUP).await)?.and_then(|setup| setup.number("ProvisioningMode")) {
                            Some(1) => Some(2),
                            Some(4) => Some(1),
                            _ => None,
                        }
                    }
                };
            }
            Piece::Consent => {
                let service = there(ws.get_once(OP, "IPS_OptInService").await)?;
                let required = service.and_then(|service| service.number("OptInRequired"));
                self.consent_for_all = required == Some(CONSENT_FOR_ALL);
            }
            Piece::Port => {
                let wired = [("InstanceID", "Intel(r) AMT Ethernet Port Settings 0")];
                let port = there(ws.get(OP, "AMT_EthernetPortSettings", &wired).await)?.unwrap_or_default();
                let mac: Option<MacAddress> = port.text("MACAddress").and_then(|mac| mac.parse().ok());
                self.mac = mac.filter(|mac| *mac != MacAddress([0; 6]));
                let policy: Vec<&str> = port.list("LinkPolicy").collect();
                let while_off = |policy: &&str| policy.parse() == Ok(LINK_WHILE_OFF);
                self.unreachable_when_off = !policy.is_empty() && !policy.iter().any(while_off);
            }
            Piece::Versions => {
                let rows =
                    there(ws.enumerate_with(OP, "CIM_SoftwareIdentity", Repeat::Later).await)?.unwrap_or_default();
                self.firmware = firmware(&rows);
            }
        }
        Ok(())
    }

    /// How it was set up, in words.
    pub(super) const fn setup(&self) -> Option<&'static str> {
        match self.control_mode {
            Some(0) => Some("not set up"),
            Some(1) => Some("client control mode"),
            Some(2) => Some("admin control mode"),
            _ => None,
        }
    }

    /// What an operator should know of it.
    pub(super) fn notices(&self) -> impl Iterator<Item = Notice> {
        let consent = match (self.control_mode == Some(1), self.consent_for_all) {
            (true, _) => Some("AMT is in client control mode"),
            (false, true) => Some("AMT is set to require user consent for everything"),
            (false, false) => None,
        };
        let consent = consent.map(|why| Notice {
            key: "user-consent",
            text: format!(
                "{why}: boot overrides will be refused, since someone at the screen would have to consent to each; set it \
                 up in admin control mode, without user consent"
            ),
        });
        let dark = self.unreachable_when_off.then(|| Notice {
            key: "unreachable-when-off",
            text: "AMT is set up to leave the network when the machine is off (its LinkPolicy lacks 14): it cannot be turned \
                   on from here then; choose a power package that keeps it awake"
                .into(),
        });
        consent.into_iter().chain(dark)
    }
}

/// An instance; `None` when this machine lacks it or does not show it to this account, so that there is no use in asking again.
fn there<T>(answer: Result<T, Fault>) -> Result<Option<T>, Fault> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(fault) if is_lack(&fault) => Ok(None),
        Err(fault) => Err(fault),
    }
}

fn is_lack(fault: &Fault) -> bool {
    match &fault.kind {
        Kind::Soap(code) => !code.is_passing(),
        // The login was good for the power a moment ago: this account is not shown it.
        Kind::Returned(_) | Kind::Auth => true,
        _ => false,
    }
}

/// `16.1.25` and the build number `1424` in rows of CIM_SoftwareIdentity.
fn firmware(rows: &[Instance]) -> Option<String> {
    let version = |id: &str| -> Option<String> {
        let row = rows.iter().find(|row| row.text("InstanceID") == Some(id))?;
        let text = row.text("VersionString")?;
        Some(text.chars().filter(|c| !c.is_control()).take(VERSION_CHARACTERS_MAX).collect())
    };
    let amt = version("AMT")?;
    Some(match version("Build Number") {
        Some(build) => format!("{amt}.{build}"),
        None => amt,
    })
}

/// Where a machine tells its UUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Method,
    Package,
}

/// Which machine it is: asked at each reading, since another one may answer at the address.
#[derive(Debug, Default)]
pub(super) struct Identity {
    /// The place that had an answer last, which is asked first.
    source: Option<Source>,
    /// No place has an answer.
    silent: bool,
}

impl Identity {
    /// Looks for it again where there was none.
    pub(super) fn ask_anew(&mut self) {
        self.silent = false;
    }

    /// The UUID; `None` when the machine does not tell. One that told before and does not now is not believed.
    pub(super) async fn ask(&mut self, ws: &mut WsMan) -> Result<Option<Uuid>, Fault> {
        if self.silent {
            return Ok(None);
        }
        let places = match self.source {
            Some(Source::Package) => [Source::Package, Source::Method],
            _ => [Source::Method, Source::Package],
        };
        let mut lost = None;
        for place in places {
            match ask_at(place, ws).await {
                Ok(Some(uuid)) => {
                    self.source = Some(place);
                    return Ok(Some(uuid));
                }
                Ok(None) => {}
                Err(fault) if is_lack(&fault) || fault.kind == Kind::InvalidResponse => lost = Some(fault),
                Err(fault) => return Err(fault),
            }
        }
        match (self.source, lost) {
            (Some(_), Some(fault)) if fault.kind == Kind::Auth => Err(fault),
            (Some(_), _) => Err(Fault::new(Kind::InvalidResponse, "the machine does not say its UUID any more")),
            // A senseless answer may be a passing one.
            (None, Some(fault)) if fault.kind == Kind::InvalidResponse => Ok(None),
            (None, _) => {
                self.silent = true;
                Ok(None)
            }
        }
    }
}

async fn ask_at(place: Source, ws: &mut WsMan) -> Result<Option<Uuid>, Fault> {
    let bytes = match place {
        Source::Method => {
            let output = ws.invoke("read", SETUP, "GetUuid", &[], Repeat::Safe).await?;
            let text = output.values.text("UUID").filter(|_| output.return_value == 0);
            text.and_then(|text| BASE64.decode(text).ok())
        }
        Source::Package => {
            let package = ws.get("read", "CIM_ComputerSystemPackage", &[]).await?;
            package.text("PlatformGUID").and_then(|text| hex::decode(text).ok())
        }
    };
    Ok(bytes.and_then(|bytes| uuid(&bytes)))
}

/// The UUID in the order of SMBIOS: the first three fields have their low bytes first. All bits alike stand for none.
fn uuid(bytes: &[u8]) -> Option<Uuid> {
    let bytes: [u8; 16] = bytes.try_into().ok()?;
    let none = [[0; 16], [0xFF; 16]].contains(&bytes);
    (!none).then(|| Uuid::from_bytes_le(bytes))
}

#[cfg(test)]
mod tests;
