//! The identities of a person, and what follows from them: the primary e-mail address and a name to show.

use ids::ContactId;

/// Longest type of an identity, in bytes.
pub const MAX_TYPE: usize = 50;
/// Longest value of an identity, in bytes; it is part of index keys.
pub const MAX_VALUE: usize = 1_000;

/// One way to recognise a person.
#[derive(Debug, Clone, PartialEq)]
pub struct Identity {
    /// `email`, `github`, ….
    pub kind: String,
    /// The normalised value.
    pub value: String,
    /// Whether the provider vouched for it.
    pub verified: bool,
    /// 0 to 1.
    pub confidence: f64,
}

/// An identity with its place in the list that told it.
#[derive(Debug, Clone, PartialEq)]
pub struct ToldIdentity {
    /// The person whose `contact.identified` listed it: the contact itself, or one that was merged into it.
    pub told_by: ContactId,
    /// Place in that list, from 0.
    pub position: i32,
    /// The identity.
    pub identity: Identity,
}

/// Types in the order in which they make a name for somebody whose name is not known.
const NAMING: [&str; 8] = [
    "email", "github", "npm", "pypi", "twitter", "linkedin", "user_id", "phone",
];

/// What a reader sees: the contact's own list first, then those of the persons merged into it. An identity that was told
/// more than once is shown once, verified if any of them was, with the highest confidence.
#[must_use]
pub fn visible(owner: ContactId, told: &[ToldIdentity]) -> Vec<Identity> {
    let mut sorted: Vec<&ToldIdentity> = told.iter().collect();
    sorted.sort_by(|a, b| {
        let key = |t: &ToldIdentity| (t.told_by != owner, t.told_by, t.position);
        key(a)
            .cmp(&key(b))
            .then_with(|| a.identity.value.cmp(&b.identity.value))
    });
    let mut seen: Vec<Identity> = Vec::with_capacity(sorted.len());
    for ToldIdentity { identity, .. } in sorted {
        match seen
            .iter_mut()
            .find(|known| known.kind == identity.kind && known.value == identity.value)
        {
            Some(known) => {
                known.verified |= identity.verified;
                known.confidence = known.confidence.max(identity.confidence);
            }
            None => seen.push(identity.clone()),
        }
    }
    seen
}

/// The primary e-mail address: a verified one before a stated one, then the more confident, then the first.
#[must_use]
pub fn primary_email(identities: &[Identity]) -> Option<&str> {
    best(identities, "email")
}

/// A name for somebody whose name is not known.
#[must_use]
pub fn name_from(identities: &[Identity]) -> Option<&str> {
    NAMING.iter().find_map(|kind| best(identities, kind))
}

fn best<'a>(identities: &'a [Identity], kind: &str) -> Option<&'a str> {
    let mut best: Option<&Identity> = None;
    for identity in identities.iter().filter(|identity| identity.kind == kind) {
        let better =
            best.is_none_or(|b| (identity.verified, identity.confidence) > (b.verified, b.confidence));
        if better {
            best = Some(identity);
        }
    }
    best.map(|identity| identity.value.as_str())
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn identity(kind: &str, value: &str, verified: bool, confidence: f64) -> Identity {
        Identity {
            kind: kind.into(),
            value: value.into(),
            verified,
            confidence,
        }
    }

    fn told(by: u128, position: i32, identity: Identity) -> ToldIdentity {
        ToldIdentity {
            told_by: ContactId(Uuid::from_u128(by)),
            position,
            identity,
        }
    }

    #[test]
    fn own_identities_come_first_and_repeats_are_shown_once() {
        let owner = ContactId(Uuid::from_u128(9));
        let list = [
            told(1, 0, identity("github", "dev", true, 0.5)),
            told(9, 1, identity("github", "dev", false, 0.9)),
            told(9, 0, identity("email", "a@x.dev", false, 1.0)),
            told(1, 1, identity("npm", "dev", false, 0.2)),
        ];
        let shown = visible(owner, &list);
        assert_eq!(
            shown,
            [
                identity("email", "a@x.dev", false, 1.0),
                identity("github", "dev", true, 0.9),
                identity("npm", "dev", false, 0.2)
            ]
        );
    }

    #[test]
    fn a_verified_address_is_primary() {
        let list = [
            identity("email", "stated@x.dev", false, 1.0),
            identity("email", "sure@x.dev", true, 0.7),
            identity("email", "surer@x.dev", true, 0.9),
            identity("email", "late@x.dev", true, 0.9),
        ];
        assert_eq!(primary_email(&list), Some("surer@x.dev"));
        assert_eq!(name_from(&list), Some("surer@x.dev"));
        assert_eq!(
            name_from(&[
                identity("phone", "1", false, 0.1),
                identity("npm", "n", false, 0.1)
            ]),
            Some("n")
        );
        assert_eq!(name_from(&[identity("anonymous", "x", true, 1.0)]), None);
    }
}
