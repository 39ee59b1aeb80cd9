//! What a client sets in the device itself: what it does when its power comes back.
//!
//! The device is the store of it, so the client is answered when the device was read back with what was asked for, and
//! nothing is in the journal but the node's change number, which moves with it. A command goes before it. What is not
//! confirmed within [`CONFIRM_WITHIN`] ends, and the client learns that it is not known whether the device took it.

use std::time::Duration;

use super::{Effect, Fsm, Op, SAVES_MAX, Save, Saving, Ticket};
use crate::clock::Mono;
use crate::node::Refusal;
use crate::node::device::{DeviceError, FailureClass, PowerRestore};
use crate::node::event::EventKind;

/// Less than a client's request waits for its answer. A login, the request and a reading take some two seconds.
const CONFIRM_WITHIN: Duration = Duration::from_secs(8);

/// How often it is sent, while the device shows the old setting or loses the answer. It is absolute, so it may be repeated.
const TRIES_MAX: u32 = 3;

/// A setting that is being made.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    ticket: Ticket,
    policy: PowerRestore,
    /// The account's name.
    by: String,
    deadline: Mono,
    tries: u32,
    /// It is to be sent now; else a reading is waited for.
    due: bool,
    /// Why it was not confirmed yet, in words.
    obstacle: String,
}

impl Setting {
    fn what(&self) -> String {
        what(self.policy)
    }
}

pub(super) fn what(policy: PowerRestore) -> String {
    format!("PowerRestorePolicy {}", policy.name())
}

impl Fsm {
    pub(super) fn set_power_restore(
        &mut self,
        (ticket, by): (Ticket, String),
        policy: PowerRestore,
        if_match: Option<&[u64]>,
        now: Mono,
        out: &mut Vec<Effect>,
    ) {
        let node = self.spec.id.clone();
        let refusal = if self.stopping {
            Some(Refusal::Stopping { node })
        } else if !self.sets_power_restore() {
            let why = format!("{} does not say what it does when its power comes back", self.spec.device);
            Some(Refusal::NotNow { node, what: what(policy), why })
        } else if !self.is_at(if_match) {
            Some(Refusal::Changed { node })
        } else if self.saves.len() >= SAVES_MAX {
            Some(Refusal::Overloaded { node })
        } else if self.setting.is_some() {
            let why = "another change of it is under way".into();
            Some(Refusal::NotNow { node, what: what(policy), why })
        } else {
            self.connectivity.refusal(&self.spec, now)
        };
        match refusal {
            Some(refusal) => out.push(Effect::Answer(ticket, Err(refusal))),
            None => {
                let obstacle = "the device was not reached in time".into();
                let deadline = now + CONFIRM_WITHIN;
                self.setting = Some(Setting { ticket, policy, by, deadline, tries: 0, due: true, obstacle });
            }
        }
    }

    /// The device says what it does when its power comes back, and can be told.
    pub(super) fn sets_power_restore(&self) -> bool {
        let said = self.seen.as_ref().is_some_and(|seen| seen.about.power_restore.is_some());
        self.spec.kind.sets_power_restore && said
    }

    pub(super) fn setting_deadline(&self) -> Option<Mono> {
        self.setting.as_ref().map(|setting| setting.deadline)
    }

    /// Ends a setting that can wait no longer.
    pub(super) fn settings_due(&mut self, now: Mono, out: &mut Vec<Effect>) {
        let over = |setting: &mut Setting| self.stopping || self.unread || now >= setting.deadline;
        let Some(setting) = self.setting.take_if(over) else { return };
        let node = self.spec.id.clone();
        let refusal = match setting.tries {
            0 if self.stopping => Refusal::Stopping { node },
            _ => Refusal::Unconfirmed { node, what: setting.what(), why: setting.obstacle.clone() },
        };
        drop_setting(setting, refusal, out);
    }

    /// The request that is to be sent now.
    pub(super) fn setting_op(&mut self) -> Option<Op> {
        let setting = self.setting.as_mut().filter(|setting| setting.due)?;
        setting.due = false;
        setting.tries += 1;
        setting.obstacle = "the device took it, and was not read since".into();
        Some(Op::SetPowerRestore(setting.policy))
    }

    /// A reading that began at `started` arrived.
    pub(super) fn setting_observed(&mut self, out: &mut Vec<Effect>) {
        let shown = self.seen.as_ref().and_then(|seen| seen.about.power_restore);
        let Some(mut setting) = self.setting.take_if(|setting| setting.tries > 0) else { return };
        if shown == Some(setting.policy) {
            let record = self.counted();
            let Setting { ticket, policy, by, .. } = setting;
            self.save(Save::Boot(record.clone()), Saving::Setting { record, policy, by, ticket }, out);
        } else if setting.tries < TRIES_MAX {
            setting.due = true;
            self.setting = Some(setting);
        } else {
            let shown = shown.map_or("nothing", PowerRestore::name);
            let why = format!("the device took it {} times and still shows {shown}", setting.tries);
            let refusal = Refusal::Unconfirmed { node: self.spec.id.clone(), what: setting.what(), why };
            drop_setting(setting, refusal, out);
        }
    }

    /// An operation failed. What happened to a setting that was under way is for the next reading to say.
    pub(super) fn setting_failed(&mut self, op: &Op, error: &DeviceError, out: &mut Vec<Effect>) {
        let Some(mut setting) = self.setting.take() else { return };
        let sent = matches!(op, Op::SetPowerRestore(_));
        if sent && error.class == FailureClass::Refused
            || matches!(error.class, FailureClass::Auth | FailureClass::Locked | FailureClass::Distrusted)
        {
            let (node, what, why) = (self.spec.id.clone(), setting.what(), error.text.clone());
            // What was sent before may have been taken.
            let never_taken = setting.tries <= u32::from(sent);
            let refusal = match never_taken {
                true => Refusal::NotNow { node, what, why },
                false => Refusal::Unconfirmed { node, what, why },
            };
            drop_setting(setting, refusal, out);
        } else {
            setting.obstacle = error.text.clone();
            self.setting = Some(setting);
        }
    }
}

/// Ends a setting that was not confirmed. Its client may have stopped waiting, so the listeners hear of it too.
fn drop_setting(setting: Setting, refusal: Refusal, out: &mut Vec<Effect>) {
    let text = format!("{}, asked for by {}: {refusal}", setting.what(), setting.by);
    out.push(Effect::Emit(EventKind::Noticed { text }));
    out.push(Effect::Answer(setting.ticket, Err(refusal)));
}
