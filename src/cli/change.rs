//! What `--fix`, `--with` and `--hold` change about a scenario.

use super::fail::Fail;
use crate::near::nearest;
use crate::scenario::{HoldOverride, Overrides, Scenario, mitigation, mitigations};

/// The changes together, the fixes before the mitigations. A name given with the wrong option is
/// refused with the right one.
pub(super) fn overrides(
    scenario: &Scenario,
    holds: &[HoldOverride],
    fixes: &[String],
    with: &[String],
) -> Result<Overrides, Fail> {
    let mut overrides = Overrides { holds: holds.to_vec(), fixes: fixes.to_vec(), ..Overrides::default() };
    let own = |name: &str| scenario.file().fixes.iter().any(|x| x.name.get_ref() == name);
    for name in fixes {
        if !own(name) && mitigation(name).is_some() {
            let message = format!("{name:?} is no fix of {}, but a mitigation: --with {name}", scenario.id());
            return Err(Fail::usage(message));
        }
        if let (false, Some(near)) = (own(name), mitigation_near(scenario, name)) {
            let message =
                format!("scenario {} has no fix {name:?} (did you mean --with {near}?)", scenario.id());
            return Err(Fail::usage(message));
        }
    }
    for name in with {
        if own(name) && mitigation(name).is_none() {
            let message = format!("{name:?} is no mitigation, but a fix of {}: --fix {name}", scenario.id());
            return Err(Fail::usage(message));
        }
        overrides.with(&super::matrix::find(name)?.name);
    }
    Ok(overrides)
}

/// The mitigation that a name is a slip of, if it is none of a fix of the scenario's.
fn mitigation_near(scenario: &Scenario, name: &str) -> Option<&'static str> {
    let fixes = scenario.file().fixes.iter().map(|x| x.name.get_ref().as_str());
    let names = mitigations().iter().map(|m| m.name.as_str());
    if nearest(name, fixes).is_empty() { nearest(name, names).first().copied() } else { None }
}
