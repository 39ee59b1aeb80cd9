//! Query parameters (DSP0266, "Query parameters"): they select the parts of a resource that a client wants. Pure: text
//! and JSON in, JSON out; the caller looks up other resources.
//!
//! They work in the order that the specification gives: `$filter`, `$skip`, `$top`, then `$expand`, then `$select`.

mod expand;
pub(crate) mod filter;
mod select;
#[cfg(test)]
mod tests;

use serde_json::{Value, json};

use super::body::clip;
use super::message::{ErrorResponse, Message};
use super::resource::Resource;
use expand::Expand;
pub(crate) use expand::LEVELS_MAX;
use filter::Filter;
use select::Select;

/// Members sent whole in one answer, some 200 KB of them; a client that wants more follows `Members@odata.nextLink`.
/// Members that are only links are all sent at once.
const WHOLE_MEMBERS_MAX: usize = 100;

/// Finds the resource of a URI for the caller; `None` where there is none, or not for them.
pub(crate) type LookUp<'a> = &'a dyn Fn(&str) -> Option<Resource>;

/// What a request asks for with its query.
#[derive(Debug, Default)]
pub struct Query {
    filter: Option<Filter>,
    skip: Option<usize>,
    top: Option<usize>,
    expand: Option<Expand>,
    select: Option<Select>,
    only: bool,
    /// The parameters as they were sent, without `$skip` and `$top`: for the link to the next page.
    sent: String,
}

impl Query {
    /// Reads a query string. Parameters that are not ours and do not begin with `$` are passed over; without any of ours
    /// there is no query.
    pub fn parse(text: &str) -> Result<Option<Query>, ErrorResponse> {
        let mut query = Query::default();
        let mut names: Vec<String> = Vec::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (raw_name, raw_value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decode(raw_name).ok_or_else(|| wrong_format(raw_name, raw_name, ESCAPES))?;
            if !name.starts_with('$') && name != "only" {
                continue;
            }
            let value = decode(raw_value).ok_or_else(|| wrong_format(raw_value, &name, ESCAPES))?;
            if names.contains(&name) {
                return Err(ErrorResponse::bad_request("QueryCombinationInvalid", &[]));
            }
            query.take(&name, &value)?;
            if name != "$skip" && name != "$top" {
                query.sent.push('&');
                query.sent.push_str(pair);
            }
            names.push(name);
        }
        if query.only && names.len() > 1 {
            return Err(ErrorResponse::bad_request("QueryCombinationInvalid", &[]));
        }
        Ok((!names.is_empty()).then_some(query))
    }

    fn take(&mut self, name: &str, value: &str) -> Result<(), ErrorResponse> {
        let wrong = |advice: String| wrong_format(value, name, &advice);
        match name {
            "$filter" => self.filter = Some(Filter::parse(value).map_err(wrong)?),
            "$skip" => self.skip = Some(count(name, value)?),
            "$top" => self.top = Some(count(name, value)?),
            "$expand" => {
                let expand = Expand::parse(value).map_err(wrong)?;
                if !(1..=LEVELS_MAX).contains(&expand.levels) {
                    return Err(out_of_range(value, name, &format!("$levels=1 to $levels={LEVELS_MAX}")));
                }
                self.expand = Some(expand);
            }
            "$select" => self.select = Some(Select::parse(value).map_err(wrong)?),
            "only" if value.is_empty() => self.only = true,
            "only" => return Err(wrong("Send 'only' without a value.".into())),
            unknown => {
                return Err(ErrorResponse::new(501, Message::base("QueryParameterUnsupported", &[&clip(unknown)])));
            }
        }
        Ok(())
    }

    /// Whether other resources are read for it, which may be all that there are.
    pub fn reads_members(&self) -> bool {
        self.filter.is_some() || self.expand.is_some()
    }

    /// What the client sees of this resource.
    pub fn apply(&self, resource: Resource, look_up: LookUp<'_>) -> Result<Resource, ErrorResponse> {
        let is_collection = resource.body.get("Members").is_some_and(Value::is_array);
        let wants_collection = self.only || self.filter.is_some() || self.skip.is_some() || self.top.is_some();
        if wants_collection && !is_collection {
            return Err(ErrorResponse::bad_request("QueryNotSupportedOnResource", &[]));
        }
        if self.only {
            return Ok(only_member(&resource).and_then(|uri| look_up(&uri)).unwrap_or(resource));
        }
        let mut resource = if is_collection { self.page(resource, look_up) } else { resource };
        if let Some(expand) = &self.expand {
            expand.apply(&mut resource.body, look_up);
        }
        if let Some(select) = &self.select {
            select.apply(&mut resource.body);
        }
        Ok(resource)
    }

    /// The members of a collection that are wanted, as many as fit into one answer.
    fn page(&self, mut resource: Resource, look_up: LookUp<'_>) -> Resource {
        let Some(Value::Array(mut members)) = resource.body.remove("Members") else { return resource };
        if let Some(filter) = &self.filter {
            members.retain(|member| match whole(member) {
                true => filter.holds(member),
                false => uri_of(member).and_then(look_up).is_some_and(|found| filter.holds(&Value::Object(found.body))),
            });
        }
        let count = members.len();
        let skip = self.skip.unwrap_or(0);
        let are_whole =
            members.first().is_some_and(whole) || self.expand.is_some_and(|expand| expand.reaches_members());
        let most = if are_whole { WHOLE_MEMBERS_MAX } else { usize::MAX };
        let page: Vec<Value> = members.into_iter().skip(skip).take(self.top.unwrap_or(most).min(most)).collect();
        let next = skip.saturating_add(page.len());
        if let (true, Some(uri)) =
            (!page.is_empty() && next < count, resource.body.get("@odata.id").and_then(Value::as_str))
        {
            let top = self.top.map_or_else(String::new, |top| format!("&$top={top}"));
            let link = format!("{uri}?$skip={next}{top}{}", self.sent);
            resource.body.insert("Members@odata.nextLink".into(), json!(link));
        }
        resource.body.insert("Members@odata.count".into(), json!(count));
        resource.body.insert("Members".into(), Value::Array(page));
        resource
    }
}

/// The first page of a collection whose members are whole; everything else as it is.
pub fn first_page(resource: Resource) -> Resource {
    let members = resource.body.get("Members").and_then(Value::as_array);
    let is_long =
        members.is_some_and(|members| members.len() > WHOLE_MEMBERS_MAX && members.first().is_some_and(whole));
    if is_long { Query::default().page(resource, &|_| None) } else { resource }
}

/// The link is the resource itself, and no mere link.
fn whole(member: &Value) -> bool {
    member.as_object().is_some_and(|member| member.len() > 1)
}

fn uri_of(member: &Value) -> Option<&str> {
    member.get("@odata.id")?.as_str()
}

fn only_member(resource: &Resource) -> Option<String> {
    match resource.body.get("Members")?.as_array()?.as_slice() {
        [only] => uri_of(only).map(Into::into),
        _ => None,
    }
}

fn count(name: &str, value: &str) -> Result<usize, ErrorResponse> {
    match value.parse::<i128>() {
        Ok(number) => usize::try_from(number).map_err(|_| out_of_range(value, name, "0 and above")),
        Err(_) => Err(ErrorResponse::bad_request("QueryParameterValueTypeError", &[&clip(value), name])),
    }
}

fn out_of_range(value: &str, name: &str, range: &str) -> ErrorResponse {
    ErrorResponse::bad_request("QueryParameterOutOfRange", &[&clip(value), name, range])
}

const ESCAPES: &str = "Write each % as two hexadecimal digits of UTF-8 after it, such as %20.";

fn wrong_format(value: &str, name: &str, advice: &str) -> ErrorResponse {
    let mut message = Message::base("QueryParameterValueFormatError", &[&clip(value), &clip(name)]);
    message.advise(advice);
    ErrorResponse::new(400, message)
}

/// `%24top` is `$top`, and `+` is a blank. `None` for what is no such text.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                let mut byte = [0];
                hex::decode_to_slice(digits, &mut byte).ok()?;
                let [byte] = byte;
                byte
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}
