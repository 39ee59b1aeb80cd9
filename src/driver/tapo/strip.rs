//! The outlets of a strip: which there are, where, and what to say when the strip or the configuration does not fit.
//!
//! An outlet of the configuration is the one at `position` = outlet + 1, whatever its place in the list: strips list them in
//! any order. A list that leaves open which outlet is where is refused as a whole, since a guess would cut the power of
//! another machine.

use std::collections::BTreeSet;

use super::call::Call;
use super::fault::{Fault, Kind};
use super::smart::{self, DeviceInfo, GET_CHILD_DEVICE_LIST, GET_DEVICE_INFO};

/// Most outlets of a strip. The largest that is known has six.
const OUTLETS_MAX: u64 = 64;

/// Most requests for one list. A page holds all outlets of the strips we know; more pages than this is a plug that
/// counts wrongly.
const PAGES_MAX: usize = 8;

impl Call<'_> {
    /// An error if this is a strip, since the configuration names no outlet.
    pub(super) async fn refuse_strip(&mut self) -> Result<(), Fault> {
        if !self.profile().await?.strip {
            return Ok(());
        }
        self.ensure_outlets().await?;
        let count = self.plug().outlets.len();
        let last = count.saturating_sub(1);
        let text = format!(
            "it is a strip with {count} outlets: say in nodes.yaml which one switches this node, from \
             \"outlet: 0\" to \"outlet: {last}\""
        );
        Err(Fault::new(Kind::Refused, text))
    }

    /// An error if this is no strip, although the configuration names an outlet.
    pub(super) async fn refuse_plug(&mut self, outlet: u8) -> Result<(), Fault> {
        match self.profile().await?.strip {
            true => Ok(()),
            false => {
                let text = format!(
                    "it is no strip and has no outlets to choose from: remove \"outlet: {outlet}\" from nodes.yaml"
                );
                Err(Fault::new(Kind::Refused, text))
            }
        }
    }

    /// The strip's own data, read once in each session.
    pub(super) async fn strip(&mut self, outlet: u8) -> Result<DeviceInfo, Fault> {
        self.refuse_plug(outlet).await?;
        self.log_in().await?;
        if let Some(strip) = self.plug().strip.clone() {
            return Ok(strip);
        }
        let info = self.ask(None, GET_DEVICE_INFO, &smart::plain(GET_DEVICE_INFO)).await?;
        let info = DeviceInfo::read(&info);
        self.verify_identity(&info, None).await?;
        self.plug().strip = Some(info.clone());
        Ok(info)
    }

    /// The list was read a moment ago, and nothing was switched since.
    pub(super) fn outlets_are_fresh(&mut self) -> bool {
        let (now, fresh) = (self.now(), self.timing().list_fresh);
        self.plug().outlets_at.is_some_and(|at| now.since(at) < fresh)
    }

    /// The id and the state of an outlet, from a list that is fresh.
    pub(super) async fn outlet(&mut self, outlet: u8) -> Result<(String, DeviceInfo), Fault> {
        if !self.outlets_are_fresh() {
            self.read_outlets().await?;
        }
        self.find_outlet(outlet)
    }

    /// The id of an outlet, from a list of any age.
    pub(super) async fn outlet_id(&mut self, outlet: u8) -> Result<String, Fault> {
        self.ensure_outlets().await?;
        self.find_outlet(outlet).map(|(id, _)| id)
    }

    async fn ensure_outlets(&mut self) -> Result<(), Fault> {
        match self.plug().outlets.is_empty() {
            true => self.read_outlets().await,
            false => Ok(()),
        }
    }

    fn find_outlet(&mut self, outlet: u8) -> Result<(String, DeviceInfo), Fault> {
        let outlets = &self.plug().outlets;
        let found = outlets.iter().find(|found| found.position == Some(position_of(outlet)));
        let Some((id, found)) = found.and_then(|found| Some((found.device_id.clone()?, found))) else {
            let (count, last) = (outlets.len(), outlets.len().saturating_sub(1));
            let text = format!(
                "the strip has {count} outlets, \"outlet: 0\" to \"outlet: {last}\", and nodes.yaml says \"outlet: {outlet}\""
            );
            return Err(Fault::new(Kind::Refused, text));
        };
        if found.lamp {
            let text = format!("\"outlet: {outlet}\" of the strip is a lamp, and no outlet: correct nodes.yaml");
            return Err(Fault::new(Kind::Refused, text));
        }
        Ok((id, found.clone()))
    }

    async fn read_outlets(&mut self) -> Result<(), Fault> {
        let at = self.now();
        let (mut outlets, mut count): (Vec<DeviceInfo>, u64) = (Vec::new(), 0);
        for _ in 0..PAGES_MAX {
            let request = smart::child_list(outlets.len() as u64);
            let page = self.ask(None, GET_CHILD_DEVICE_LIST, &request).await?;
            let unreadable = || Fault::garbled("the strip's list of outlets cannot be read");
            let (page, sum) = smart::children(&page).ok_or_else(unreadable)?;
            let last = page.is_empty();
            count = sum;
            outlets.extend(page);
            if last || outlets.len() as u64 >= sum {
                break;
            }
        }
        if outlets.is_empty() {
            return Err(Fault::garbled("the strip lists no outlets"));
        }
        check_list(&outlets, count)?;
        let memory = self.plug();
        (memory.outlets, memory.outlets_at) = (outlets, Some(at));
        Ok(())
    }
}

/// Where an outlet of the configuration is on the strip.
fn position_of(outlet: u8) -> u64 {
    u64::from(outlet) + 1
}

/// An error unless each position from 1 to `count` stands in the list once, and each id.
fn check_list(outlets: &[DeviceInfo], count: u64) -> Result<(), Fault> {
    let positions: Option<BTreeSet<u64>> = outlets.iter().map(|outlet| outlet.position).collect();
    let ids: Option<BTreeSet<&str>> = outlets.iter().map(|outlet| outlet.device_id.as_deref()).collect();
    let (listed, wanted) = (outlets.len(), 1..=count.min(OUTLETS_MAX));
    let what = match (positions, ids) {
        (None, _) => "it does not say at which position each outlet is".into(),
        (_, None) => "it does not name each outlet".into(),
        _ if count > OUTLETS_MAX => format!("it says that it has {count} outlets"),
        (Some(positions), _) if positions.len() < listed => "it lists two outlets at one position".into(),
        (_, Some(ids)) if ids.len() < listed => "it lists one outlet twice".into(),
        (Some(positions), _) if !positions.iter().copied().eq(wanted) => {
            let listed: Vec<String> = positions.iter().map(u64::to_string).collect();
            format!("it lists the positions {}, and says that it has {count} outlets", listed.join(", "))
        }
        _ => return Ok(()),
    };
    let text = format!(
        "the strip's list of outlets is not whole, so that the wrong machine could be switched: {what}; look at the strip in \
         the Tapo app, and unplug it for a moment when all outlets are there"
    );
    Err(Fault::new(Kind::Refused, text))
}

/// An error when the answer of the outlet `id`, which is `outlet` in the configuration, is that of another one.
pub(super) fn is_outlet(info: &DeviceInfo, outlet: u8, id: &str) -> Result<(), Fault> {
    let other = info.device_id.as_deref().is_some_and(|theirs| theirs != id)
        || info.position.is_some_and(|position| position != position_of(outlet));
    match other {
        true => Err(Fault::garbled(format!("another outlet answered than \"outlet: {outlet}\", which was asked"))),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests;
