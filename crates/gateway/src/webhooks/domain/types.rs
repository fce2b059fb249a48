//! Lists of event types: names, or `deal.*` for all of an object.

/// What is about webhooks themselves, which only those get that name it: a failing webhook would otherwise cause its own
/// events.
const OWN: &str = "webhook.";

/// Whether a pattern stands for a type.
#[must_use]
pub fn stands_for(pattern: &str, kind: &str) -> bool {
    match pattern.strip_suffix(".*") {
        Some(object) => kind.split_once('.').is_some_and(|(of, _)| of == object),
        None => pattern == kind,
    }
}

/// Whether a list keeps events of a type. An empty one keeps all but `webhook.*`.
#[must_use]
pub fn wanted(list: &[String], kind: &str) -> bool {
    if list.is_empty() {
        return !is_own(kind);
    }
    list.iter().any(|pattern| stands_for(pattern, kind))
}

/// Whether it is about webhooks themselves.
#[must_use]
pub fn is_own(kind: &str) -> bool {
    kind.starts_with(OWN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_keeps_what_it_names() {
        let list = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        assert!(wanted(&[], "deal.created") && !wanted(&[], "webhook.endpoint_disabled"));
        let some = list(&["deal.*", "webhook.endpoint_disabled"]);
        assert!(wanted(&some, "deal.closed") && wanted(&some, "webhook.endpoint_disabled"));
        assert!(!wanted(&some, "deals.closed") && !wanted(&some, "webhook.delivery_exhausted"));
    }
}
