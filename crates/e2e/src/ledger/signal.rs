//! What the numbered signals hold: everything follows from the number, so that a repeat is the same signal and the
//! checker knows what to expect.

use serde_json::{Value, json};

const COMPANIES: u64 = 12;
const PEOPLE: u64 = 8;

/// The numbered signals of one run.
#[derive(Debug, Clone)]
pub struct Signals {
    run: String,
}

/// Who a signal is from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Person {
    /// E-mail address.
    pub email: String,
    /// Its domain.
    pub domain: String,
    /// The id of the same person's browser.
    pub visitor: String,
}

/// What a signal tells of who it is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// The e-mail address.
    Person,
    /// The browser only.
    Visitor,
    /// Both: from now on the browser is that person's, and was it before.
    Both,
}

impl Signals {
    /// The signals of a run.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            run: format!("ledger-{seed:x}"),
        }
    }

    /// The key of signal `n`.
    #[must_use]
    pub fn key(&self, n: u64) -> String {
        format!("{}-{n}", self.run)
    }

    /// The number of the signal with this key.
    #[must_use]
    pub fn number(&self, key: &str) -> Option<u64> {
        key.strip_prefix(&self.run)?.strip_prefix('-')?.parse().ok()
    }

    /// Who signal `n` is from.
    #[must_use]
    pub fn person(&self, n: u64) -> Person {
        let spread = spread(n);
        let (company, person) = (spread % COMPANIES, spread / COMPANIES % PEOPLE);
        let domain = format!("{}-{company}.example", self.run);
        Person {
            email: format!("dev{person}@{domain}"),
            visitor: format!("{}-v{person}-{company}", self.run),
            domain,
        }
    }

    /// What signal `n` tells of them.
    #[must_use]
    pub fn names(n: u64) -> Names {
        match spread(n) >> 32 & 7 {
            0 => Names::Visitor,
            1 => Names::Both,
            _ => Names::Person,
        }
    }

    /// Signal `n`.
    #[must_use]
    pub fn signal(&self, n: u64) -> Value {
        let (person, names) = (self.person(n), Self::names(n));
        let mut signal =
            json!({"type": "api_call", "idempotencyKey": self.key(n), "metadata": {"number": n}});
        if names != Names::Visitor {
            signal["actor"] = json!({"email": person.email});
        }
        if names != Names::Person {
            signal["anonymousId"] = json!(person.visitor);
        }
        signal
    }
}

/// A multiplicative hash: neighbours differ in everything.
fn spread(n: u64) -> u64 {
    n.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 7
}
