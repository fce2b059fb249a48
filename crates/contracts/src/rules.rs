//! Who may call which method: the one policy table, from the option `(devsignal.options.v1.access)` of every method.
//!
//! Owns: the table. Must not: know who calls; `rpc` decides with it.

/// What a method does, and which roles may do it. Described in `devsignal/options/v1/access.proto`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Permission {
    /// Needs no credentials.
    Public,
    /// A signed-in person, about themselves.
    Self_,
    /// Reads records.
    Read,
    /// Writes records.
    Write,
    /// Changes how the organization is set up.
    Admin,
    /// What only the owner may.
    Owner,
    /// Calls between our own services.
    System,
}

/// One method's rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// `/package.Service/Method`.
    pub method: &'static str,
    /// The first half of a scope.
    pub resource: &'static str,
    /// What the method does to that.
    pub permission: Permission,
}

/// All rules, in the order of their methods.
pub const RULES: &[Rule] = &include!(concat!(env!("OUT_DIR"), "/rules.rs"));

/// The rule of a method by its path; none when there is no such method.
#[must_use]
pub fn rule_of(method: &str) -> Option<&'static Rule> {
    let at = RULES.binary_search_by(|rule| rule.method.cmp(method)).ok()?;
    RULES.get(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_is_found_by_its_path() {
        assert!(RULES.len() > 50);
        for rule in RULES {
            assert_eq!(rule_of(rule.method), Some(rule));
        }
        assert_eq!(rule_of("/devsignal.crm.v1.AccountService/Other"), None);
    }
}
