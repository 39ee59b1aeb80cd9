//! One plug, or one outlet of a strip: what a reading and a switch consist of.
//!
//! It knows the methods and their order, and neither variants nor failures on the way.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tracing::info;

use super::TapoConfig;
use super::call::Call;
use super::connection::Connection;
use super::fault::{Fault, Kind};
use super::meter::{Measured, Profile};
use super::methods::Answers;
use super::smart::{self, COMPONENT_NEGO, DeviceInfo, GET_DEVICE_INFO, SET_DEVICE_INFO, is_unsupported};
use super::strip;
use crate::clock::Mono;
use crate::driver::DeviceContext;
use crate::node::device::{
    DeviceError, DeviceFuture, DeviceIdentity, FailureClass, Notice, Observation, PowerDevice, PowerRestore,
};
use crate::node::trust::TrustRecord;
use crate::node::{BootOverride, Power, PowerAction};

/// How often a reading is asked for when answers are lost on the way.
const READ_TRIES: u32 = 3;
/// How often a switch is sent. The order is absolute, so once more does no harm.
const SET_TRIES: u32 = 3;

/// One plug, or one outlet of a strip.
pub(crate) struct TapoPlug {
    connection: Arc<Connection>,
    context: DeviceContext,
    outlet: Option<u8>,
    about: Arc<DeviceIdentity>,
    /// When it was last told to switch.
    switched: Option<Mono>,
    /// When today's energy was last asked for, and what it was when last read.
    usage_read: Option<Mono>,
    today_wh: Option<u64>,
}

impl TapoPlug {
    /// A plug that has not been talked to, over this connection.
    pub(super) fn new(config: &TapoConfig, context: DeviceContext, connection: Arc<Connection>) -> TapoPlug {
        // The gate of the connection counts: the outlets of a strip have one for all.
        let context = DeviceContext { gate: connection.gate.clone(), ..context };
        let outlet = config.outlet;
        TapoPlug {
            connection,
            context,
            outlet,
            about: Arc::default(),
            switched: None,
            usage_read: None,
            today_wh: None,
        }
    }

    async fn read_once(&mut self, call: &mut Call<'_>) -> Result<Observation, Fault> {
        let meters = call.profile().await?.meter;
        let (info, measured, strip, trust) = match self.outlet {
            Some(outlet) => self.read_outlet(call, outlet).await?,
            None => {
                call.refuse_strip().await?;
                let (info, measured, trust) = self.read_plug(call).await?;
                (info, measured, None, trust)
            }
        };
        let Some(power) = info.power else {
            return Err(Fault::garbled("the plug does not say whether it is on (no device_on)"));
        };
        if measured.usage {
            (self.usage_read, self.today_wh) = (Some(call.now()), measured.today_wh.or(self.today_wh));
        }
        let mut notices = call.notices();
        notices.extend(own_notices(&info));
        let about = about(&info, strip.as_ref().unwrap_or(&info), call.protocol(), meters);
        if *self.about != about {
            self.about = Arc::new(about);
        }
        Ok(Observation {
            power: Some(power),
            on_for: info.on_for,
            milliwatts: measured.milliwatts,
            energy_today_wh: self.today_wh,
            about: self.about.clone(),
            capabilities: None,
            scan_due: false,
            notices,
            proof: call.proof(),
            trust: Some(trust),
        })
    }

    async fn read_plug(&mut self, call: &mut Call<'_>) -> Result<(DeviceInfo, Measured, Arc<TrustRecord>), Fault> {
        let methods: Vec<&'static str> = [GET_DEVICE_INFO].into_iter().chain(self.questions(call)).collect();
        let (info, answers) = first(call.ask_all(None, &methods, 1).await?)?;
        let info = DeviceInfo::read(&info?);
        let trust = call.verify_identity(&info, info.device_id.clone()).await?;
        let measured = call.measured(answers);
        call.note_firmware(&info);
        Ok((info, measured, trust))
    }

    /// An outlet's state, what it measured, and the strip's own data.
    async fn read_outlet(
        &mut self,
        call: &mut Call<'_>,
        outlet: u8,
    ) -> Result<(DeviceInfo, Measured, Option<DeviceInfo>, Arc<TrustRecord>), Fault> {
        let strip = call.strip(outlet).await?;
        call.note_firmware(&strip);
        let questions = self.questions(call);
        let own_info = call.profile().await?.supports(OUTLET_INFO);
        if !questions.is_empty() && own_info && !call.outlets_are_fresh() {
            // With a meter the outlet is asked anyway, so it is asked for everything.
            let id = call.outlet_id(outlet).await?;
            let methods: Vec<&'static str> = [GET_DEVICE_INFO].into_iter().chain(questions.iter().copied()).collect();
            let trust = call.vouch_outlet(&id).await?;
            let (info, answers) = first(call.ask_all(Some(&id), &methods, 1).await?)?;
            match info {
                Ok(info) => {
                    let info = DeviceInfo::read(&info);
                    strip::is_outlet(&info, outlet, &id)?;
                    return Ok((info, call.measured(answers), Some(strip), trust));
                }
                Err(fault) if is_unsupported(&fault) => call.note_unsupported(OUTLET_INFO, &fault),
                Err(fault) => return Err(fault),
            }
        }
        let (id, info) = call.outlet(outlet).await?;
        let trust = call.vouch_outlet(&id).await?;
        let measured = match questions.as_slice() {
            [] => Measured::default(),
            questions => {
                let answers = call.ask_all(Some(&id), questions, 0).await?;
                call.measured(answers)
            }
        };
        Ok((info, measured, Some(strip), trust))
    }

    /// The questions about power for this reading.
    fn questions(&self, call: &mut Call<'_>) -> Vec<&'static str> {
        let (now, timing) = (call.now(), *call.timing());
        let within = |moment: Option<Mono>, time: Duration| moment.is_some_and(|moment| now.since(moment) < time);
        if within(self.switched, timing.settle) {
            return Vec::new();
        }
        let usage_due = !within(self.usage_read, timing.usage_every);
        call.plug().profile.as_ref().map(|profile| profile.questions(usage_due)).unwrap_or_default()
    }

    /// Sends a request that changes something, and again where that is safe.
    async fn set(&mut self, request: &Value, switches: bool) -> Result<(), DeviceError> {
        let connection = self.connection.clone();
        let mut call = connection.begin(self.context.clone(), "set", SET_TRIES).await?;
        loop {
            match self.set_once(&mut call, request, switches).await {
                Ok(()) => {
                    call.end();
                    return Ok(());
                }
                Err(fault) => call.recover(fault).await?,
            }
        }
    }

    /// Sends a request that changes something, of the relay if `switches`.
    async fn set_once(&mut self, call: &mut Call<'_>, request: &Value, switches: bool) -> Result<(), Fault> {
        call.profile().await?;
        let child = match self.outlet {
            Some(outlet) => {
                call.refuse_plug(outlet).await?;
                Some(call.outlet_id(outlet).await?)
            }
            None => {
                call.refuse_strip().await?;
                None
            }
        };
        // After the last login of this attempt: a wrong address must never cut the power of another machine.
        call.log_in().await?;
        if call.needs_vouching() {
            let info = call.ask(None, GET_DEVICE_INFO, &smart::plain(GET_DEVICE_INFO)).await?;
            let info = DeviceInfo::read(&info);
            call.verify_identity(&info, info.device_id.clone().filter(|_| child.is_none())).await?;
        }
        if let Some(id) = &child {
            call.vouch_outlet(id).await?;
        }
        call.plug().outlets_at = None;
        self.switched = if switches { Some(call.now()) } else { self.switched };
        let result = call.ask(child.as_deref(), SET_DEVICE_INFO, request).await;
        self.switched = if switches { Some(call.now()) } else { self.switched };
        result.map(|_| ()).map_err(|fault| match fault.kind {
            Kind::Code(_) if is_unsupported(&fault) => Fault { kind: Kind::Refused, ..fault },
            _ => fault,
        })
    }
}

/// `get_device_info` of an outlet, as the profile remembers it.
const OUTLET_INFO: &str = "get_device_info of an outlet";

impl PowerDevice for TapoPlug {
    fn read(&mut self) -> DeviceFuture<'_, Observation> {
        Box::pin(async move {
            let connection = self.connection.clone();
            let mut call = connection.begin(self.context.clone(), "read", READ_TRIES).await?;
            loop {
                match self.read_once(&mut call).await {
                    Ok(observation) => {
                        call.end();
                        return Ok(observation);
                    }
                    Err(fault) => call.recover(fault).await?,
                }
            }
        })
    }

    fn order(&mut self, order: PowerAction, _: BootOverride) -> DeviceFuture<'_, ()> {
        Box::pin(async move {
            let power = match order {
                PowerAction::On => Power::On,
                PowerAction::Off => Power::Off,
                other => {
                    let text = format!("a plug can be switched on and off, and has no order \"{}\"", other.name());
                    return Err(DeviceError::new(FailureClass::Refused, text));
                }
            };
            self.set(&smart::switch(power), true).await
        })
    }

    fn set_power_restore(&mut self, policy: PowerRestore) -> DeviceFuture<'_, ()> {
        Box::pin(async move { self.set(&smart::restore(policy), false).await })
    }

    fn forget_session(&mut self) {
        self.connection.forget();
    }
}

impl Call<'_> {
    /// What the plug can do: asked once, and again after a change of its firmware.
    pub(super) async fn profile(&mut self) -> Result<&mut Profile, Fault> {
        if self.plug().profile.is_none() {
            let asked = self.ask(None, COMPONENT_NEGO, &smart::plain(COMPONENT_NEGO)).await;
            let components = match asked.map(|result| smart::components(&result)) {
                Ok(Some(components)) => components,
                Err(fault) if !is_unsupported(&fault) => return Err(fault),
                // It knows no such method: its other answers have to do.
                Ok(None) | Err(_) => {
                    let info = self.ask(None, GET_DEVICE_INFO, &smart::plain(GET_DEVICE_INFO)).await?;
                    smart::components_of_model(&DeviceInfo::read(&info))
                }
            };
            self.plug().profile = Some(Profile::new(components));
        }
        self.plug().profile.as_mut().ok_or_else(|| Fault::garbled("nothing is known of the plug"))
    }

    fn measured(&mut self, answers: Answers) -> Measured {
        self.plug().profile.as_mut().map(|profile| profile.measured(answers)).unwrap_or_default()
    }

    fn note_unsupported(&mut self, method: &'static str, fault: &Fault) {
        if let Some(profile) = self.plug().profile.as_mut() {
            profile.note(method, fault);
        }
    }

    /// Another firmware may be able to do other things: they are asked for at the next call.
    fn note_firmware(&mut self, info: &DeviceInfo) {
        let node = self.node().clone();
        let memory = self.plug();
        let Some(profile) = memory.profile.as_mut() else { return };
        match (&profile.firmware, &info.firmware) {
            (None, _) => profile.firmware.clone_from(&info.firmware),
            (Some(old), Some(new)) if old != new => {
                info!(%node, %old, %new, "the plug has another firmware");
                memory.profile = None;
                memory.outlets.clear();
            }
            _ => {}
        }
    }
}

/// The answer to the first question, and the others.
fn first(answers: Answers) -> Result<(Result<Value, Fault>, Answers), Fault> {
    let mut answers = answers.into_iter();
    let (_, first) = answers.next().ok_or_else(|| Fault::garbled("nothing was answered"))?;
    Ok((first, answers.collect()))
}

/// `own` is the outlet or the plug, `whole` the strip or the plug.
fn about(own: &DeviceInfo, whole: &DeviceInfo, protocol: Option<&str>, meter: bool) -> DeviceIdentity {
    DeviceIdentity {
        manufacturer: Some("TP-Link".into()),
        model: whole.model.clone(),
        firmware: whole.firmware.clone(),
        hardware: whole.hardware.clone(),
        serial: own.device_id.clone(),
        mac: whole.mac,
        nickname: own.nickname.clone(),
        protocol: protocol.map(Into::into),
        setup: None,
        meter,
        power_restore: own.power_restore,
        uuid: None,
    }
}

fn own_notices(info: &DeviceInfo) -> Vec<Notice> {
    let mut notices = Vec::new();
    if !info.troubles.is_empty() {
        notices.push(Notice { key: "plug-trouble", text: format!("the plug reports {}", info.troubles.join(", ")) });
    }
    if let Some(left) = info.auto_off {
        let when = left.map(|left| format!(" in {} s", left.as_secs())).unwrap_or_default();
        let text = format!("the plug's auto-off timer will cut the power{when}; turn auto-off off in the Tapo app");
        notices.push(Notice { key: "auto-off", text });
    }
    notices
}
