//! `$filter`: a small language of comparisons, parsed by recursive descent with a bound on its depth and length, so
//! that no text can cost more than a few microseconds for each member.

use serde_json::{Number, Value};

use super::select::is_name;

/// Deepest nesting of parentheses and `not`.
const DEPTH_MAX: usize = 16;

/// Maximum number of comparisons in one expression.
const COMPARISONS_MAX: usize = 64;

/// An expression.
#[derive(Debug, PartialEq)]
pub enum Filter {
    /// Both hold.
    And(Box<Filter>, Box<Filter>),
    /// One of them holds.
    Or(Box<Filter>, Box<Filter>),
    /// It does not hold.
    Not(Box<Filter>),
    /// A property against a literal, or a literal against a property.
    Compare(Operand, Comparison, Operand),
}

/// One side of a comparison.
#[derive(Debug, PartialEq)]
pub enum Operand {
    /// `Status/State`.
    Path(Vec<String>),
    /// `'Enabled'`, `3.5`, `true`, `null`.
    Literal(Value),
}

/// `eq ne lt le gt ge`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// Equal.
    Eq,
    /// Not equal.
    Ne,
    /// Less than.
    Lt,
    /// At most.
    Le,
    /// Greater than.
    Gt,
    /// At least.
    Ge,
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Open,
    Close,
    Text(String),
    Word(String),
}

impl Filter {
    /// Reads an expression. The error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Filter, String> {
        let mut reader = Reader { tokens: tokens(text)?.into_iter().peekable(), comparisons: 0 };
        let filter = reader.or(0)?;
        match reader.tokens.next() {
            None => Ok(filter),
            Some(_) => Err("Something follows the expression: put 'and' or 'or' before it, or take it away.".into()),
        }
    }

    /// Whether it holds for this resource.
    pub fn holds(&self, resource: &Value) -> bool {
        match self {
            Filter::And(left, right) => left.holds(resource) && right.holds(resource),
            Filter::Or(left, right) => left.holds(resource) || right.holds(resource),
            Filter::Not(inner) => !inner.holds(resource),
            Filter::Compare(left, comparison, right) => comparison.holds(left.value(resource), right.value(resource)),
        }
    }
}

impl Operand {
    /// What is not there is null.
    fn value<'a>(&'a self, resource: &'a Value) -> &'a Value {
        match self {
            Operand::Literal(value) => value,
            Operand::Path(path) => {
                path.iter().try_fold(resource, |value, name| value.get(name)).unwrap_or(&Value::Null)
            }
        }
    }
}

impl Comparison {
    fn of(word: &str) -> Option<Comparison> {
        Some(match word {
            "eq" => Comparison::Eq,
            "ne" => Comparison::Ne,
            "lt" => Comparison::Lt,
            "le" => Comparison::Le,
            "gt" => Comparison::Gt,
            "ge" => Comparison::Ge,
            _ => return None,
        })
    }

    /// Values of two kinds are not equal, and neither is the greater one.
    fn holds(self, left: &Value, right: &Value) -> bool {
        let order = match (left, right) {
            (Value::Number(left), Value::Number(right)) => number(left).partial_cmp(&number(right)),
            (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
            (left, right) if left == right => Some(std::cmp::Ordering::Equal),
            _ => None,
        };
        let is_plain = matches!(left, Value::Number(_) | Value::String(_));
        match self {
            Comparison::Eq => order.is_some_and(|order| order.is_eq()),
            Comparison::Ne => !order.is_some_and(|order| order.is_eq()),
            Comparison::Lt => is_plain && order.is_some_and(|order| order.is_lt()),
            Comparison::Le => is_plain && order.is_some_and(|order| order.is_le()),
            Comparison::Gt => is_plain && order.is_some_and(|order| order.is_gt()),
            Comparison::Ge => is_plain && order.is_some_and(|order| order.is_ge()),
        }
    }
}

fn number(number: &Number) -> f64 {
    number.as_f64().unwrap_or(f64::NAN)
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = text.chars().peekable();
    while let Some(&first) = rest.peek() {
        match first {
            blank if blank.is_whitespace() => {
                rest.next();
            }
            '(' | ')' => {
                rest.next();
                tokens.push(if first == '(' { Token::Open } else { Token::Close });
            }
            '\'' => {
                rest.next();
                tokens.push(Token::Text(quoted(&mut rest)?));
            }
            _ => {
                let mut word = String::new();
                while let Some(next) = rest.next_if(|c| !c.is_whitespace() && !matches!(c, '(' | ')' | '\'')) {
                    word.push(next);
                }
                tokens.push(Token::Word(word));
            }
        }
    }
    Ok(tokens)
}

/// The text up to its closing quote; two quotes stand for one.
fn quoted(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<String, String> {
    let mut text = String::new();
    loop {
        match rest.next() {
            None => return Err("A text is not closed: put a ' behind it.".into()),
            Some('\'') if rest.next_if_eq(&'\'').is_none() => return Ok(text),
            Some(other) => text.push(other),
        }
    }
}

struct Reader {
    tokens: std::iter::Peekable<std::vec::IntoIter<Token>>,
    comparisons: usize,
}

impl Reader {
    fn takes(&mut self, word: &str) -> bool {
        self.tokens.next_if(|token| matches!(token, Token::Word(found) if found == word)).is_some()
    }

    fn or(&mut self, depth: usize) -> Result<Filter, String> {
        let mut left = self.and(depth)?;
        while self.takes("or") {
            left = Filter::Or(Box::new(left), Box::new(self.and(depth)?));
        }
        Ok(left)
    }

    fn and(&mut self, depth: usize) -> Result<Filter, String> {
        let mut left = self.one(depth)?;
        while self.takes("and") {
            left = Filter::And(Box::new(left), Box::new(self.one(depth)?));
        }
        Ok(left)
    }

    fn one(&mut self, depth: usize) -> Result<Filter, String> {
        if depth > DEPTH_MAX {
            return Err(format!("It is nested too deep: {DEPTH_MAX} levels are the most."));
        }
        if self.takes("not") {
            return Ok(Filter::Not(Box::new(self.one(depth + 1)?)));
        }
        if self.tokens.next_if_eq(&Token::Open).is_some() {
            let inner = self.or(depth + 1)?;
            return match self.tokens.next() {
                Some(Token::Close) => Ok(inner),
                _ => Err("A parenthesis is not closed.".into()),
            };
        }
        self.comparison()
    }

    fn comparison(&mut self) -> Result<Filter, String> {
        self.comparisons += 1;
        if self.comparisons > COMPARISONS_MAX {
            return Err(format!("It is too long: {COMPARISONS_MAX} comparisons are the most."));
        }
        let left = self.operand()?;
        let comparison = match self.tokens.next() {
            Some(Token::Word(word)) => Comparison::of(&word),
            _ => None,
        };
        let comparison = comparison.ok_or("Behind a property stands one of eq, ne, lt, le, gt and ge.")?;
        Ok(Filter::Compare(left, comparison, self.operand()?))
    }

    fn operand(&mut self) -> Result<Operand, String> {
        let wrong = || "Compare the name of a property with a 'text', a number, true, false or null.".to_owned();
        let word = match self.tokens.next() {
            Some(Token::Text(text)) => return Ok(Operand::Literal(Value::String(text))),
            Some(Token::Word(word)) => word,
            _ => return Err(wrong()),
        };
        // Numbers, `true`, `false` and `null` are written as in JSON.
        if let Ok(value) = serde_json::from_str::<Value>(&word) {
            return if value.is_string() || value.is_array() || value.is_object() {
                Err(wrong())
            } else {
                Ok(Operand::Literal(value))
            };
        }
        let path: Vec<String> = word.split('/').map(Into::into).collect();
        let starts_well = word.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '_' | '@' | '#'));
        if !starts_well || path.len() > DEPTH_MAX || !path.iter().all(|part| is_name(part)) {
            return Err(wrong());
        }
        Ok(Operand::Path(path))
    }
}
