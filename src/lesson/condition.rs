//! What a lesson asks of a run's facts: `unanswered > 0`, `reasons has no-route`,
//! `reply-mac is {host-mac}`, `not window about {hold.felix.apply}`.

use super::LessonError;
use super::fact::{Facts, Value};
use crate::time::Span;
use core::str::FromStr;
use serde::{Deserialize, Deserializer};

/// As near as two lengths are that are about the same.
const ABOUT: Span = Span::from_secs(2);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Op {
    Is,
    Has,
    Less,
    AtMost,
    More,
    AtLeast,
    About,
}

const OPS: [(&str, Op); 7] = [
    ("is", Op::Is),
    ("has", Op::Has),
    ("<", Op::Less),
    ("<=", Op::AtMost),
    (">", Op::More),
    (">=", Op::AtLeast),
    ("about", Op::About),
];

#[derive(Clone, PartialEq, Eq, Debug)]
enum Other {
    Literal(Value),
    Fact(String),
}

/// One condition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Condition {
    text: String,
    not: bool,
    fact: String,
    op: Op,
    other: Other,
}

impl Condition {
    /// Whether it holds. What there is none of is neither less nor more than anything.
    pub fn holds(&self, facts: &Facts) -> Result<bool, LessonError> {
        let fact = facts.get(&self.fact)?;
        let other = match &self.other {
            Other::Literal(value) => value,
            Other::Fact(name) => facts.get(name)?,
        };
        let unfit = || LessonError::Unfit { condition: self.text.clone() };
        let holds = match (self.op, fact, other) {
            (Op::Is, Value::Words(_), _) => return Err(unfit()),
            (Op::Is, a, b) => a == b,
            (Op::Has, Value::Words(all), Value::Word(one)) => all.contains(one),
            (_, Value::None, _) | (_, _, Value::None) => false,
            (Op::Less, Value::Span(a), Value::Span(b)) => a < b,
            (Op::AtMost, Value::Span(a), Value::Span(b)) => a <= b,
            (Op::More, Value::Span(a), Value::Span(b)) => a > b,
            (Op::AtLeast, Value::Span(a), Value::Span(b)) => a >= b,
            (Op::About, Value::Span(a), Value::Span(b)) => a.as_ns().abs_diff(b.as_ns()) <= ABOUT.as_ns(),
            (Op::Less, Value::Count(a), Value::Count(b)) => a < b,
            (Op::AtMost, Value::Count(a), Value::Count(b)) => a <= b,
            (Op::More, Value::Count(a), Value::Count(b)) => a > b,
            (Op::AtLeast, Value::Count(a), Value::Count(b)) => a >= b,
            _ => return Err(unfit()),
        };
        Ok(holds != self.not)
    }
}

/// Whether all of them hold.
pub(super) fn all_hold(conditions: &[Condition], facts: &Facts) -> Result<bool, LessonError> {
    let mut all = true;
    for condition in conditions {
        // each is looked at, so that a name with a slip in it never hides behind one that fails
        all &= condition.holds(facts)?;
    }
    Ok(all)
}

impl FromStr for Condition {
    type Err = LessonError;
    fn from_str(text: &str) -> Result<Condition, LessonError> {
        let bad = || LessonError::Unread { condition: text.to_owned() };
        let (not, rest) = text.strip_prefix("not ").map_or((false, text), |rest| (true, rest));
        let [fact, op, other] = rest.split(' ').collect::<Vec<_>>().try_into().map_err(|_| bad())?;
        let op = OPS.iter().find(|o| o.0 == op).ok_or_else(bad)?.1;
        let named = other.strip_prefix('{').and_then(|o| o.strip_suffix('}'));
        let other = named.map_or_else(|| Other::Literal(literal(other)), |name| Other::Fact(name.to_owned()));
        Ok(Condition { text: text.to_owned(), not, fact: fact.to_owned(), op, other })
    }
}

fn literal(text: &str) -> Value {
    match (text, text.parse::<u64>(), text.parse::<Span>()) {
        ("none", ..) => Value::None,
        (_, Ok(count), _) => Value::Count(count),
        (_, _, Ok(span)) => Value::Span(span),
        _ => Value::Word(text.to_owned()),
    }
}

impl<'de> Deserialize<'de> for Condition {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
