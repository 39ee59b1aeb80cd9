//! The actor around one FSM: runs its effects, owns its device, drives its clock.
//!
//! It decides nothing. At most one operation on the device and one write to the journal are in progress at a time. Each
//! result is fed back into the FSM, and after every step the new view is published before any caller is answered.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, Message, SpawnHandle, WrapFuture};
use tokio::sync::oneshot;

use super::device::{DeviceError, FailureClass, PowerDevice, PowerRestore};
use super::entry::NodeEntry;
use super::event::{EventBus, EventKind};
use super::fsm::{Effect, Fsm, Input, Moment, Op, Outcome, Save, Ticket};
use super::journal::Journal;
use super::supervisor::DropGuard;
use super::{BootPatch, NodeSpec, Refusal, ResetType};
use crate::clock::{Clock, Mono};
use crate::telemetry::{Metrics, NodeMeters};

/// Requests that may wait for one node. Each is taken up within microseconds; a full mailbox means a flood.
pub(crate) const MAILBOX: usize = 32;

/// The longest operation on a device, logins and inner repetitions included. A driver ends by itself long before.
const OPERATION_DEADLINE: Duration = Duration::from_secs(45);

/// What every node needs of the world.
#[derive(Clone)]
pub struct NodeContext {
    pub clock: Clock,
    pub journal: Arc<dyn Journal>,
    pub events: EventBus,
    pub metrics: Arc<Metrics>,
}

/// Who waits for an answer.
pub(crate) type Answer = oneshot::Sender<Result<(), Refusal>>;

/// What can be asked of a node's actor.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) enum NodeMsg {
    /// Change the power.
    Reset {
        reset: ResetType,
        /// The account that sent it.
        by: String,
        /// Whom to tell when it is durable.
        answer: Answer,
    },
    /// Change the boot override.
    PatchBoot {
        patch: BootPatch,
        /// The account that sent it.
        by: String,
        /// Only if the node is at one of these change numbers.
        if_match: Option<Vec<u64>>,
        /// Whom to tell when it is durable.
        answer: Answer,
    },
    /// Live by another configuration; with another device, if there is one.
    Reconfigure {
        /// The new one; in a box, since messages are moved about.
        spec: Box<NodeSpec>,
        /// The connection to the new device.
        device: Option<Box<dyn PowerDevice>>,
    },
    /// Forget what is on record of the device: a person says that it is another one.
    ResetTrust {
        /// The account that sent it.
        by: String,
        /// Told when it is durable.
        answer: Answer,
    },
    /// Set what the device does when its power comes back.
    SetPowerRestore {
        /// What it is to do.
        policy: PowerRestore,
        /// The account that sent it.
        by: String,
        /// Only if the node is at one of these change numbers.
        if_match: Option<Vec<u64>>,
        /// Told when the device shows it.
        answer: Answer,
    },
    /// Drop the device's session and read it now.
    ResetSession,
    /// Answer as a sign of life. An actor that nothing will wake again does not answer.
    Ping { answer: oneshot::Sender<()> },
    /// End when nothing is under way.
    Stop { done: oneshot::Sender<()> },
}

/// The actor of one node.
pub(crate) struct NodeActor {
    fsm: Fsm,
    context: NodeContext,
    meters: NodeMeters,
    entry: Arc<NodeEntry>,
    /// Not here while an operation is under way.
    device: Option<Box<dyn PowerDevice>>,
    /// Waits for the operation under way to end.
    reconfigure: Option<(NodeSpec, Option<Box<dyn PowerDevice>>)>,
    forget_session: bool,
    /// Durable writes that wait for the one under way.
    saves: VecDeque<Save>,
    saving: bool,
    waiting: BTreeMap<Ticket, Answer>,
    next_ticket: Ticket,
    wake: Option<(Mono, SpawnHandle)>,
    stopped: Option<oneshot::Sender<()>>,
    guard: DropGuard,
}

impl NodeActor {
    /// The actor of a node; `guard` tells the fleet if it falls.
    pub(crate) fn new(
        fsm: Fsm,
        device: Box<dyn PowerDevice>,
        context: NodeContext,
        entry: Arc<NodeEntry>,
        guard: DropGuard,
    ) -> NodeActor {
        let meters = context.metrics.node(entry.id.as_str());
        ResetType::ALL.into_iter().for_each(|reset| meters.expect(reset.name()));
        NodeActor {
            fsm,
            context,
            meters,
            entry,
            device: Some(device),
            reconfigure: None,
            forget_session: false,
            saves: VecDeque::new(),
            saving: false,
            waiting: BTreeMap::new(),
            next_ticket: 0,
            wake: None,
            stopped: None,
            guard,
        }
    }

    fn step(&mut self, input: Input, ctx: &mut Context<NodeActor>) {
        let clock = &self.context.clock;
        let moment = Moment { now: clock.now(), unit_jitter: clock.unit_jitter() };
        let effects = self.fsm.step(input, moment);
        let (view, before) = (self.fsm.view(), self.entry.view().health);
        let health = view.health;
        self.entry.publish(view, moment.now.mono);
        for effect in effects {
            self.run(effect, moment, ctx);
        }
        if health != before {
            self.context.events.emit(&self.entry.id, moment.now.wall, EventKind::HealthChanged(health));
        }
        self.set_alarm(ctx);
        if self.fsm.is_idle()
            && let Some(done) = self.stopped.take()
        {
            self.guard.disarm();
            // The caller may be gone, which is no reason to stay.
            let _ = done.send(());
            ctx.stop();
        }
    }

    fn run(&mut self, effect: Effect, moment: Moment, ctx: &mut Context<NodeActor>) {
        let node = &self.entry.id;
        match effect {
            Effect::Save(save) => {
                self.saves.push_back(save);
                self.save_next(ctx);
            }
            Effect::ClearIntent(number) => self.context.journal.clear_intent(node, number),
            Effect::NoteSeen(seen) => self.context.journal.note_seen(node, seen),
            Effect::Operate(op) => self.operate(op, ctx),
            Effect::ForgetSession => match self.device.as_mut() {
                Some(device) => device.forget_session(),
                None => self.forget_session = true,
            },
            Effect::Answer(ticket, answer) => {
                if let Some(waiting) = self.waiting.remove(&ticket) {
                    // The client may have hung up; the answer is in the view all the same.
                    let _ = waiting.send(answer);
                }
            }
            Effect::Emit(what) => {
                if let EventKind::CommandDone { reset, took } = &what {
                    self.meters.done_after(reset.name(), *took);
                }
                self.entry.record(self.context.events.emit(node, moment.now.wall, what));
            }
            Effect::Count(reset, result) => self.meters.transition(reset.name(), result),
        }
    }

    /// Starts the oldest write that waits. They go one by one, so that they end in the order in which they began.
    fn save_next(&mut self, ctx: &mut Context<NodeActor>) {
        if self.saving {
            return;
        }
        let node = &self.entry.id;
        let write = match self.saves.pop_front() {
            Some(Save::Intent(intent)) => self.context.journal.record_intent(node, intent),
            Some(Save::Boot(boot)) => self.context.journal.record_boot(node, boot),
            Some(Save::ForgetTrust) => self.context.journal.record_trust(node, None),
            None => return,
        };
        self.saving = true;
        ctx.spawn(write.into_actor(self).map(|result, actor, ctx| {
            actor.saving = false;
            actor.step(Input::Saved(result), ctx);
            actor.save_next(ctx);
        }));
    }

    fn operate(&mut self, op: Op, ctx: &mut Context<NodeActor>) {
        // The machine asks for one operation at a time, so the device is here.
        let Some(mut device) = self.device.take() else { return };
        let clock = self.context.clock.clone();
        let work = async move {
            let started = clock.now().mono;
            let work = async {
                match op {
                    Op::Read => device.read().await.map(Outcome::Seen),
                    Op::PowerAction(order, boot) => device.order(order, boot).await.map(|()| Outcome::Taken),
                    Op::SetPowerRestore(policy) => device.set_power_restore(policy).await.map(|()| Outcome::Taken),
                    Op::Scan => device.scan().await.map(Outcome::Scanned),
                }
            };
            let result = clock.limit(OPERATION_DEADLINE, work).await.unwrap_or_else(|| {
                let text = format!("no end of the operation within {} s", OPERATION_DEADLINE.as_secs());
                Err(DeviceError::new(FailureClass::Timeout, text))
            });
            (device, started, result)
        };
        ctx.spawn(work.into_actor(self).map(|(mut device, started, result), actor, ctx| {
            if std::mem::take(&mut actor.forget_session) {
                device.forget_session();
            }
            let Some((spec, new)) = actor.reconfigure.take() else {
                actor.device = Some(device);
                actor.step(Input::Done { started, result }, ctx);
                return;
            };
            // In this order: what ended was still of the device before, if there is a new one.
            let rewired = new.is_some();
            actor.device = Some(new.unwrap_or(device));
            actor.step(Input::Reconfigured { spec, rewired }, ctx);
            actor.step(Input::Done { started, result }, ctx);
        }));
    }

    fn set_alarm(&mut self, ctx: &mut Context<NodeActor>) {
        let now = self.context.clock.now().mono;
        let at = self.fsm.wake_at(now);
        if self.wake.as_ref().map(|(at, _)| *at) == at {
            return;
        }
        if let Some((_, alarm)) = self.wake.take() {
            ctx.cancel_future(alarm);
        }
        self.wake = at.map(|at| {
            let alarm = ctx.run_later(at.since(now), |actor, ctx| {
                actor.wake = None;
                actor.step(Input::Tick, ctx);
            });
            (at, alarm)
        });
    }

    fn ticket(&mut self, answer: Answer) -> Ticket {
        self.next_ticket += 1;
        self.waiting.insert(self.next_ticket, answer);
        self.next_ticket
    }
}

impl Actor for NodeActor {
    type Context = Context<NodeActor>;

    fn started(&mut self, ctx: &mut Context<NodeActor>) {
        ctx.set_mailbox_capacity(MAILBOX);
        self.step(Input::Tick, ctx);
    }
}

impl Handler<NodeMsg> for NodeActor {
    type Result = ();

    fn handle(&mut self, ask: NodeMsg, ctx: &mut Context<NodeActor>) {
        match ask {
            NodeMsg::Reset { reset, by, answer } => {
                let ticket = self.ticket(answer);
                self.step(Input::Reset { ticket, reset, by }, ctx);
            }
            NodeMsg::PatchBoot { patch, by, if_match, answer } => {
                let ticket = self.ticket(answer);
                self.step(Input::PatchBoot { ticket, patch, by, if_match }, ctx);
            }
            NodeMsg::Reconfigure { spec, device } => match self.device.as_mut() {
                Some(current) => {
                    let rewired = device.is_some();
                    if let Some(new) = device {
                        *current = new;
                    }
                    self.step(Input::Reconfigured { spec: *spec, rewired }, ctx);
                }
                None => {
                    // A device that came before and waits as well is still the newest one.
                    let waiting = self.reconfigure.take().and_then(|(_, device)| device);
                    self.reconfigure = Some((*spec, device.or(waiting)));
                }
            },
            NodeMsg::ResetTrust { by, answer } => {
                let ticket = self.ticket(answer);
                self.step(Input::ResetTrust { ticket, by }, ctx);
            }
            NodeMsg::SetPowerRestore { policy, by, if_match, answer } => {
                let ticket = self.ticket(answer);
                self.step(Input::SetPowerRestore { ticket, policy, by, if_match }, ctx);
            }
            NodeMsg::ResetSession => self.step(Input::ResetSession, ctx),
            NodeMsg::Ping { answer } => {
                // An operation and a write end by themselves, and wake the machine when they do.
                if self.wake.is_some() || self.device.is_none() || self.saving {
                    // The caller may have stopped waiting.
                    let _ = answer.send(());
                }
            }
            NodeMsg::Stop { done } => {
                self.stopped = Some(done);
                self.step(Input::Stop, ctx);
            }
        }
    }
}
