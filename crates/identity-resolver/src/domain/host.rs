//! Host names and what they say about a company: the registrable domain, unless everybody can have an address there.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::{Arc, LazyLock};

use super::text;

/// Providers of mailboxes for everyone, and mail relays. `data/free_mail.txt`.
static FREE_MAIL: LazyLock<HashSet<&'static str>> =
    LazyLock::new(|| text::lines(include_str!("../../data/free_mail.txt")).collect());

/// Providers of throw-away mailboxes. `data/disposable.txt`.
static DISPOSABLE: LazyLock<HashSet<&'static str>> =
    LazyLock::new(|| text::lines(include_str!("../../data/disposable.txt")).collect());

/// Top-level names that are not in the public DNS (RFC 6761, RFC 6762, RFC 9476, ICANN's `.internal`) or that networks
/// use by habit. `example` and `test` stay usable: documentation and demo data live there.
const LOCAL: [&str; 12] = [
    "alt",
    "arpa",
    "corp",
    "home",
    "internal",
    "intranet",
    "invalid",
    "lan",
    "local",
    "localdomain",
    "localhost",
    "onion",
];

/// A host name in ASCII lower case (IDNA), with at least two labels; never an address. `None` for anything else.
pub(super) fn ascii_host(text: &str) -> Option<Cow<'_, str>> {
    let text = text.trim_end_matches('.');
    let plain = !text.is_empty()
        && text.len() <= 253
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.');
    let host = if plain && !text.contains("--") {
        if text
            .split('.')
            .any(|label| label.is_empty() || label.len() > 63 || is_dashed(label))
        {
            return None;
        }
        Cow::Borrowed(text)
    } else {
        Cow::Owned(idna::domain_to_ascii_strict(text).ok()?)
    };
    let (_, last) = host.rsplit_once('.')?;
    // An IPv4 literal, also in its exotic forms, ends in a number or a hexadecimal number; no top-level name does.
    let numeric = last.bytes().all(|b| b.is_ascii_digit()) || last.starts_with("0x");
    (!numeric).then_some(host)
}

fn is_dashed(label: &str) -> bool {
    label.starts_with('-') || label.ends_with('-')
}

/// The registrable domain of a host in ASCII, when it can stand for one company: below a public suffix (also a private
/// one such as `github.io`), neither free-mail nor disposable, and of the public DNS.
pub(super) fn company_domain(host: &str) -> Option<&str> {
    let (_, top) = host.rsplit_once('.')?;
    if LOCAL.contains(&top) || is_shared(host) {
        return None;
    }
    psl::domain_str(host)
}

/// Whether the host or a domain above it belongs to a provider of mailboxes for everyone.
fn is_shared(host: &str) -> bool {
    let mut rest = Some(host);
    while let Some(name) = rest {
        if FREE_MAIL.contains(name) || DISPOSABLE.contains(name) {
            return true;
        }
        rest = name.split_once('.').map(|(_, above)| above);
    }
    false
}

/// A domain as clients state it: a host name, perhaps as a URL or with a path, port or leading `@`.
pub(super) fn stated_domain(text: &str) -> Option<Arc<str>> {
    let text = text::within(text, 2_048)?;
    let rest = text.split_once("://").map_or(&*text, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = host.rsplit_once(':').map_or(host, |(host, _port)| host);
    let lower = text::lower(Cow::Borrowed(host.trim()));
    company_domain(&ascii_host(&lower)?).map(Arc::from)
}

/// The label under which the domain is registered: `acme` of `acme.co.uk`.
pub(super) fn registered_label(domain: &str) -> &str {
    domain.split_once('.').map_or(domain, |(label, _)| label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registrable_domains_follow_the_public_suffix_list() {
        for (stated, domain) in [
            ("acme.com", Some("acme.com")),
            ("WWW.Acme.COM.", Some("acme.com")),
            ("mail.eu.acme.co.uk", Some("acme.co.uk")),
            ("co.uk", None),
            ("com", None),
            ("acme.github.io", Some("acme.github.io")),
            ("github.io", None),
            ("docs.acme.github.io", Some("acme.github.io")),
            ("my-app.vercel.app", Some("my-app.vercel.app")),
            ("https://www.acme.com:8443/pricing?x=1#y", Some("acme.com")),
            ("dev@acme.com", Some("acme.com")),
            ("münchen.de", Some("xn--mnchen-3ya.de")),
            ("xn--mnchen-3ya.de", Some("xn--mnchen-3ya.de")),
            ("пример.рф", Some("xn--e1afmkfd.xn--p1ai")),
            ("рф", None),
            ("acme.example", Some("acme.example")),
            ("192.168.1.1", None),
            ("[2001:db8::1]", None),
            ("2001:db8::1", None),
            ("0x7f.0x1", None),
            ("localhost", None),
            ("nas.local", None),
            ("db.internal", None),
            ("a..com", None),
            ("-acme.com", None),
            ("acme_corp.com", None),
            ("", None),
            ("   ", None),
        ] {
            assert_eq!(stated_domain(stated).as_deref(), domain, "{stated}");
        }
    }

    #[test]
    fn shared_mail_domains_never_stand_for_a_company() {
        for host in [
            "gmail.com",
            "googlemail.com",
            "yahoo.co.uk",
            "mx.yahoo.co.uk",
            "outlook.com",
            "mailinator.com",
            "proton.me",
            "users.noreply.github.com",
            "privaterelay.appleid.com",
            "qq.com",
            "web.de",
        ] {
            assert_eq!(company_domain(host), None, "{host}");
        }
        assert_eq!(company_domain("github.com"), Some("github.com"));
        assert_eq!(company_domain("google.com"), Some("google.com"));
        assert_eq!(company_domain("notgmail.com"), Some("notgmail.com"));
    }

    #[test]
    fn the_embedded_lists_are_sorted_lower_case_hosts_without_repeats() {
        for list in [
            include_str!("../../data/free_mail.txt"),
            include_str!("../../data/disposable.txt"),
        ] {
            let names: Vec<_> = text::lines(list).collect();
            assert!(
                names.windows(2).all(|w| w[0] < w[1]),
                "sorted: {:?}",
                names.windows(2).find(|w| w[0] >= w[1])
            );
            for name in names {
                assert_eq!(ascii_host(name).as_deref(), Some(name));
            }
        }
    }
}
