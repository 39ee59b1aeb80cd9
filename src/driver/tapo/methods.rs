//! Asking a plug: one method, several at once, or either of them of one outlet of a strip.
//!
//! It knows how requests are packed into one another, and not what their answers mean.

use serde_json::Value;
use tracing::info;

use super::call::Call;
use super::fault::{Fault, Kind};
use super::smart::{self, CONTROL_CHILD};
use super::wire::error_code;

/// "Unspecific": worth one repeat in the same session.
const UNSPECIFIC: i64 = -1001;

impl Call<'_> {
    /// Asks the plug, or the outlet `child`, and returns the `result`.
    pub(super) async fn ask(&mut self, child: Option<&str>, method: &str, request: &Value) -> Result<Value, Fault> {
        let mut answer = self.answer(child, request).await?;
        if error_code(&answer) == UNSPECIFIC {
            answer = self.answer(child, request).await?;
        }
        smart::result(method, answer)
    }

    /// Asks for all of `methods`, in one request if the plug bears it. The first `needed` are what the caller cannot do
    /// without. The others concern themselves alone: what they fail with is their answer.
    pub(super) async fn ask_all(
        &mut self,
        child: Option<&str>,
        methods: &[&'static str],
        needed: usize,
    ) -> Result<Answers, Fault> {
        let mut together =
            match methods.len() > 1 && self.plug().profile.as_ref().is_none_or(|profile| profile.batches) {
                true => self.ask_together(child, methods).await?,
                false => Vec::new(),
            }
            .into_iter();
        let mut answers = Vec::with_capacity(methods.len());
        for (index, method) in methods.iter().enumerate() {
            let answer = match (together.next().flatten(), index < needed) {
                (Some(answer), true) => smart::result(method, answer),
                (Some(answer), false) => smart::side_result(method, answer),
                (None, true) => match self.ask(child, method, &smart::plain(method)).await {
                    Err(fault) if !fault.keeps_session() => return Err(fault),
                    answer => answer,
                },
                (None, false) => match self.ask_aside(child, method).await {
                    Err(fault) if fault.keeps_session() => Err(fault),
                    Err(fault) if is_own_trouble(&fault) => {
                        // What the plug made of it is unknown: the session ends with this call, and nothing more is asked.
                        info!(node = %self.node(), method, "a question was not answered: {}", fault.text);
                        self.spoil();
                        answers.push((*method, Err(fault)));
                        break;
                    }
                    Err(fault) => return Err(fault),
                    answer => answer,
                },
            };
            answers.push((*method, answer));
        }
        Ok(answers)
    }

    /// Asks what concerns itself alone.
    async fn ask_aside(&mut self, child: Option<&str>, method: &'static str) -> Result<Value, Fault> {
        smart::side_result(method, self.answer(child, &smart::plain(method)).await?)
    }

    /// The answers to one multipleRequest; `None` where the method has to be asked by itself.
    async fn ask_together(
        &mut self,
        child: Option<&str>,
        methods: &[&'static str],
    ) -> Result<Vec<Option<Value>>, Fault> {
        let answer = self.answer(child, &smart::together(methods)).await?;
        let code = error_code(&answer);
        if smart::cannot_batch(code) {
            self.give_up_batches(code);
            return Ok(Vec::new());
        }
        let result = match smart::result("multipleRequest", answer) {
            Err(fault) if matches!(fault.kind, Kind::Code(_)) => return Ok(Vec::new()),
            result => result?,
        };
        let mut answers = smart::of_together(&result, methods);
        for answer in &mut answers {
            match answer.as_ref().map_or(0, error_code) {
                code @ (-1004 | -1006) => {
                    self.give_up_batches(code);
                    *answer = None;
                }
                UNSPECIFIC => *answer = None,
                _ => {}
            }
        }
        Ok(answers)
    }

    fn give_up_batches(&mut self, code: i64) {
        let node = self.node().clone();
        if let Some(profile) = self.plug().profile.as_mut().filter(|profile| profile.batches) {
            info!(%node, code, "the plug bears no multipleRequest; it is asked for one thing at a time");
            profile.batches = false;
        }
    }

    /// The whole answer of the plug or the outlet, with its `error_code`.
    async fn answer(&mut self, child: Option<&str>, request: &Value) -> Result<Value, Fault> {
        let Some(child) = child else { return self.exchange(request).await };
        let outer = self.exchange(&smart::for_child(child, request)).await?;
        let inner = smart::result(CONTROL_CHILD, outer).and_then(smart::of_child);
        if matches!(&inner, Err(fault) if matches!(fault.kind, Kind::Code(_))) {
            // Perhaps there is no such outlet any more.
            self.plug().outlets.clear();
        }
        inner
    }
}

/// A failure that a question may have caused itself: no answer, or one without sense.
fn is_own_trouble(fault: &Fault) -> bool {
    matches!(fault.kind, Kind::Unanswered | Kind::InvalidResponse | Kind::SessionGone { taken: false })
}

/// The answer to each method that was asked.
pub(super) type Answers = Vec<(&'static str, Result<Value, Fault>)>;
