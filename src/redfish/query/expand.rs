//! `$expand`: the resources that a resource links to, in the places of the links.

use serde_json::{Map, Value};

use super::LookUp;

/// `ProtocolFeaturesSupported.ExpandQuery.MaxLevels`: from the root to the parts of a system, and one to spare.
pub(crate) const LEVELS_MAX: usize = 4;

/// Resources that one answer may hold besides the one that was asked for: about 2 MB. The links beyond stay links.
const RESOURCES_MAX: usize = 1000;

/// Which links, and how deep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Expand {
    inside_links: bool,
    elsewhere: bool,
    /// `$levels`, as it was sent.
    pub levels: usize,
}

impl Expand {
    /// `.`, `*` or `~`, with `($levels=2)` behind it or without. The error says what to do about it.
    pub(super) fn parse(text: &str) -> Result<Expand, String> {
        let wrong = || "Send one of '.', '*' and '~', with '($levels=1)' behind it or without.".to_owned();
        let (inside_links, elsewhere) = match text.chars().next() {
            Some('*') => (true, true),
            Some('.') => (false, true),
            Some('~') => (true, false),
            _ => return Err(wrong()),
        };
        let levels = match text.get(1..).unwrap_or("") {
            "" => 1,
            levels => {
                let number = levels.strip_prefix("($levels=").and_then(|rest| rest.strip_suffix(')'));
                let digits = number.filter(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()));
                // A number that is too long to read is above any limit.
                digits.ok_or_else(wrong)?.parse().unwrap_or(usize::MAX)
            }
        };
        Ok(Expand { inside_links, elsewhere, levels })
    }

    /// The members of a collection will be whole.
    pub(super) fn reaches_members(self) -> bool {
        self.elsewhere
    }

    /// Puts resources in the places of links. Level by level, so that what is near comes before what is far when there is
    /// too much of it.
    pub(super) fn apply(self, body: &mut Map<String, Value>, look_up: LookUp<'_>) {
        let own = body.get("@odata.id").and_then(Value::as_str).unwrap_or("").to_owned();
        let mut left = RESOURCES_MAX;
        let mut level: Vec<(Vec<String>, &mut Map<String, Value>)> = vec![(vec![own], body)];
        for _ in 0..self.levels {
            let mut next = Vec::new();
            for (above, body) in level {
                let mut links = Vec::new();
                self.links(body, false, &mut links);
                for link in links {
                    let Some(uri) = link.get("@odata.id").and_then(Value::as_str).map(ToOwned::to_owned) else {
                        continue;
                    };
                    // What hangs above is not repeated below itself.
                    if left == 0 || above.contains(&uri) {
                        continue;
                    }
                    let Some(found) = look_up(&uri) else { continue };
                    left -= 1;
                    *link = found.body;
                    let above = above.iter().cloned().chain([uri]).collect();
                    next.push((above, link));
                }
            }
            level = next;
        }
    }

    /// The links of a resource that are wanted.
    fn links<'a>(self, body: &'a mut Map<String, Value>, in_links: bool, found: &mut Vec<&'a mut Map<String, Value>>) {
        for (name, value) in body.iter_mut() {
            // What a Status says of where a condition comes from is a remark and no part of the resource.
            if name != "Status" {
                self.links_of(value, in_links || name == "Links", found);
            }
        }
    }

    fn links_of<'a>(self, value: &'a mut Value, in_links: bool, found: &mut Vec<&'a mut Map<String, Value>>) {
        match value {
            Value::Object(object) => {
                let is_link = object.len() == 1 && object.contains_key("@odata.id");
                let is_wanted = if in_links { self.inside_links } else { self.elsewhere };
                match (is_link, is_wanted) {
                    (true, true) => found.push(object),
                    (true, false) => {}
                    (false, _) => self.links(object, in_links, found),
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.links_of(item, in_links, found)),
            _ => {}
        }
    }
}
