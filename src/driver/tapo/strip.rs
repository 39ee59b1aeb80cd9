//! The outlets of a strip: which there are, in which order, and what to say when the configuration does not fit.
//!
//! An outlet of the configuration counts from 0 in the order of `position`; strips list them in any order.

use super::call::Call;
use super::fault::{Fault, Kind};
use super::smart::{self, DeviceInfo, GET_CHILD_DEVICE_LIST, GET_DEVICE_INFO};

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
        self.vouch(&info)?;
        self.plug().strip = Some(info.clone());
        Ok(info)
    }

    /// The list was read a moment ago, and nothing was switched since.
    pub(super) fn outlets_are_fresh(&mut self) -> bool {
        let (now, fresh) = (self.now(), self.timing().list_fresh);
        self.plug().outlets_at.is_some_and(|at| now.since(at) < fresh)
    }

    /// The state of an outlet, from a list that is fresh.
    pub(super) async fn outlet(&mut self, outlet: u8) -> Result<DeviceInfo, Fault> {
        if !self.outlets_are_fresh() {
            self.read_outlets().await?;
        }
        self.find_outlet(outlet)
    }

    /// The id of an outlet, from a list of any age.
    pub(super) async fn outlet_id(&mut self, outlet: u8) -> Result<String, Fault> {
        self.ensure_outlets().await?;
        let found = self.find_outlet(outlet)?;
        found.device_id.ok_or_else(|| Fault::garbled("the strip's list names no device_id"))
    }

    async fn ensure_outlets(&mut self) -> Result<(), Fault> {
        match self.plug().outlets.is_empty() {
            true => self.read_outlets().await,
            false => Ok(()),
        }
    }

    fn find_outlet(&mut self, outlet: u8) -> Result<DeviceInfo, Fault> {
        let outlets = &self.plug().outlets;
        outlets.get(usize::from(outlet)).cloned().ok_or_else(|| {
            let (count, last) = (outlets.len(), outlets.len().saturating_sub(1));
            let text = format!(
                "the strip has {count} outlets, \"outlet: 0\" to \"outlet: {last}\", and nodes.yaml says \"outlet: {outlet}\""
            );
            Fault::new(Kind::Refused, text)
        })
    }

    async fn read_outlets(&mut self) -> Result<(), Fault> {
        let at = self.now();
        let mut outlets: Vec<DeviceInfo> = Vec::new();
        for _ in 0..PAGES_MAX {
            let request = smart::child_list(outlets.len() as u64);
            let page = self.ask(None, GET_CHILD_DEVICE_LIST, &request).await?;
            let unreadable = || Fault::garbled("the strip's list of outlets cannot be read");
            let (page, sum) = smart::children(&page).ok_or_else(unreadable)?;
            let last = page.is_empty();
            outlets.extend(page);
            if last || outlets.len() as u64 >= sum {
                break;
            }
        }
        if outlets.is_empty() {
            return Err(Fault::garbled("the strip lists no outlets"));
        }
        // Stable: strips that say no position keep the order of their list.
        outlets.sort_by_key(|outlet| outlet.position.unwrap_or(u64::MAX));
        let memory = self.plug();
        (memory.outlets, memory.outlets_at) = (outlets, Some(at));
        Ok(())
    }
}
