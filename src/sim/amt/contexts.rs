//! Enumerations in progress: the rest of each, and how much of it is returned at once. Pure.

use std::collections::HashMap;
use std::time::Duration;

use super::reply::Instance;
use crate::clock::Mono;

/// How many enumerations may be open; real machines have far fewer, and clients in order leave none.
const CONTEXTS_MAX: usize = 1_000;
/// How long an enumeration waits for its next Pull.
const CONTEXT_LIFE: Duration = Duration::from_secs(120);
/// Classes that come in two parts by captures of real firmware, with nothing in the answer that ends them.
const IN_PARTS: [&str; 3] = ["CIM_Chip", "CIM_PhysicalPackage", "CIM_PowerManagementCapabilities"];

#[derive(Clone, Debug)]
struct Context {
    class: String,
    mode: String,
    left: Vec<Instance>,
    made: Mono,
}

/// The result of a Pull.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub items: Vec<Instance>,
    /// What the Enumerate asked for: objects, references or both.
    pub mode: String,
    /// Whether there is another one.
    pub more: bool,
}

/// All enumerations in progress.
#[derive(Clone, Debug, Default)]
pub(super) struct Contexts {
    open: HashMap<String, Context>,
    last: u32,
}

impl Contexts {
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    pub(super) fn clear(&mut self) {
        self.open.clear();
    }

    /// Drops enumerations that were not continued.
    pub(super) fn settle(&mut self, now: Mono) {
        self.open.retain(|_, context| now.since(context.made) < CONTEXT_LIFE);
    }

    /// Begins one, and gives its name. `None`: there are too many.
    pub(super) fn begin(&mut self, class: &str, mode: &str, all: Vec<Instance>, now: Mono) -> Option<String> {
        if self.open.len() >= CONTEXTS_MAX {
            return None;
        }
        self.last = self.last.wrapping_add(1);
        let name = format!("{:08X}-0000-0000-0000-000000000000", self.last.swap_bytes());
        let context = Context { class: class.to_owned(), mode: mode.to_owned(), left: all, made: now };
        self.open.insert(name.clone(), context);
        Some(name)
    }

    /// The next part: at most as many as asked for and as `page` allows. `None`: there is no such enumeration.
    pub(super) fn pull(
        &mut self,
        name: &str,
        class: &str,
        asked: usize,
        page: Option<usize>,
        empty_last: bool,
    ) -> Option<Part> {
        let mut context = self.open.remove(name).filter(|context| context.class == class)?;
        let in_parts = IN_PARTS.contains(&class);
        let usual = if in_parts { context.left.len().div_ceil(2).max(1) } else { usize::MAX };
        let count = context.left.len().min(asked).min(page.unwrap_or(usual));
        let rest = context.left.split_off(count);
        let items = std::mem::replace(&mut context.left, rest);
        let more = !context.left.is_empty() || ((empty_last || in_parts) && !items.is_empty());
        let mode = context.mode.clone();
        if more {
            self.open.insert(name.to_owned(), context);
        }
        Some(Part { items, mode, more })
    }

    /// Ends one early. `false`: there is none of this name.
    pub(super) fn release(&mut self, name: &str) -> bool {
        self.open.remove(name).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(count: usize) -> Vec<Instance> {
        (0..count).map(|index| Instance::new("CIM_X").with("Tag", index)).collect()
    }

    fn counts(class: &str, asked: usize, page: Option<usize>, empty_last: bool) -> Vec<usize> {
        let mut contexts = Contexts::default();
        let name = contexts.begin(class, "", some(5), Mono::START).unwrap();
        let mut counts = Vec::new();
        while let Some(part) = contexts.pull(&name, class, asked, page, empty_last) {
            counts.push(part.items.len());
            assert_eq!(part.more, contexts.len() == 1);
        }
        counts
    }

    #[test]
    fn parts_are_as_large_as_asked_and_allowed() {
        assert_eq!(counts("CIM_X", 999, None, false), [5]);
        assert_eq!(counts("CIM_X", 2, None, false), [2, 2, 1]);
        assert_eq!(counts("CIM_X", 999, Some(3), true), [3, 2, 0]);
        assert_eq!(counts("CIM_Chip", 999, None, false), [3, 1, 1, 0]);
    }

    #[test]
    fn an_enumeration_ends_by_release_by_time_and_for_another_class() {
        let mut contexts = Contexts::default();
        let name = contexts.begin("CIM_X", "", some(5), Mono::START).unwrap();
        assert!(name.starts_with("01000000-") && contexts.release(&name) && !contexts.release(&name));
        let name = contexts.begin("CIM_X", "", some(5), Mono::START).unwrap();
        assert_eq!(contexts.pull(&name, "CIM_Y", 1, None, false), None);
        contexts.begin("CIM_X", "", some(5), Mono::START).unwrap();
        contexts.settle(Mono::START + CONTEXT_LIFE);
        assert_eq!(contexts.len(), 0);
    }
}
