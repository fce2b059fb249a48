//! E-mail addresses: the normal form, and which of them belong to nobody.

use std::borrow::Cow;

use super::{host, text};

/// A normalised address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Email {
    /// The whole address in lower case, the domain in ASCII.
    pub(super) address: String,
    at: usize,
}

/// What an address turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mailbox {
    /// A person's address.
    Person(Email),
    /// GitHub's stand-in for a login's address.
    GithubLogin(String),
}

/// Local parts that machines send from. Not `support` or `info`: small companies sign up with those.
const MACHINES: [&str; 9] = [
    "bounce",
    "bounces",
    "do-not-reply",
    "do_not_reply",
    "donotreply",
    "mailer-daemon",
    "no-reply",
    "no_reply",
    "noreply",
];

/// Longest local part (RFC 5321, 4.5.3.1.1).
const MAX_LOCAL: usize = 64;

impl Email {
    /// The domain.
    pub(super) fn domain(&self) -> &str {
        &self.address[self.at + 1..]
    }
}

/// Reads an address. Lower case as a whole: no provider of note tells letter case apart. `+tags` and dots stay, since
/// what they mean differs by provider. `None` for what is no address, and for addresses of machines.
pub(super) fn parse(stated: &str) -> Option<Mailbox> {
    let stated = text::within(stated, 320)?;
    let (local, domain) = stated.rsplit_once('@')?;
    if local.is_empty()
        || local.len() > MAX_LOCAL
        || !local.split('.').all(|atom| !atom.is_empty() && is_atom(atom))
    {
        return None;
    }
    let local = text::lower(Cow::Borrowed(local));
    let domain = text::lower(Cow::Borrowed(domain));
    let domain = host::ascii_host(&domain)?;
    if domain == "users.noreply.github.com" {
        // `login@…` of old, `id+login@…` since 2017.
        let login = local.rsplit_once('+').map_or(&*local, |(_, login)| login);
        return Some(Mailbox::GithubLogin(login.to_owned()));
    }
    if MACHINES.contains(&&*local) {
        return None;
    }
    Some(Mailbox::Person(Email {
        address: format!("{local}@{domain}"),
        at: local.len(),
    }))
}

/// RFC 5322 `atext`, and anything beyond ASCII (RFC 6531). Quoted local parts are refused: nobody has one.
fn is_atom(atom: &str) -> bool {
    atom.chars().all(|c| {
        if c.is_ascii() {
            c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c)
        } else {
            !c.is_whitespace()
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(stated: &str) -> Option<(String, String)> {
        match parse(stated)? {
            Mailbox::Person(email) => Some((email.address.clone(), email.domain().to_owned())),
            Mailbox::GithubLogin(_) => None,
        }
    }

    #[test]
    fn addresses_have_one_normal_form() {
        for (stated, address, domain) in [
            ("Dev@Acme.COM", "dev@acme.com", "acme.com"),
            ("  dev+news@acme.com ", "dev+news@acme.com", "acme.com"),
            (
                "a.b-c_d@mail.acme.co.uk",
                "a.b-c_d@mail.acme.co.uk",
                "mail.acme.co.uk",
            ),
            ("jörg@MÜNCHEN.de", "jörg@xn--mnchen-3ya.de", "xn--mnchen-3ya.de"),
            ("o'neil@acme.com", "o'neil@acme.com", "acme.com"),
        ] {
            assert_eq!(
                person(stated),
                Some((address.to_owned(), domain.to_owned())),
                "{stated}"
            );
        }
    }

    #[test]
    fn what_is_no_address_is_ignored() {
        for stated in [
            "",
            "dev",
            "@acme.com",
            "dev@",
            "dev@localhost",
            "dev@1.2.3.4",
            "dev@[1.2.3.4]",
            "a b@acme.com",
            "Dev <dev@acme.com>",
            "a..b@acme.com",
            ".a@acme.com",
            "\"a b\"@acme.com",
            "dev@acme..com",
            "a@b@",
            "dev@a_b.com",
            "de\0v@acme.com",
        ] {
            assert_eq!(parse(stated), None, "{stated}");
        }
        assert_eq!(parse(&format!("{}@acme.com", "a".repeat(65))), None);
    }

    #[test]
    fn machines_are_not_persons() {
        assert_eq!(parse("noreply@github.com"), None);
        assert_eq!(parse("No-Reply@acme.com"), None);
    }

    #[test]
    fn a_github_no_reply_address_names_a_login() {
        for stated in [
            "octocat@users.noreply.github.com",
            "583231+Octocat@users.noreply.github.com",
        ] {
            assert_eq!(
                parse(stated),
                Some(Mailbox::GithubLogin("octocat".to_owned())),
                "{stated}"
            );
        }
    }
}
