//! Rules for single texts: what an e-mail address, a host name, a login, an IP address may look like.
//!
//! Each check gives the value as it is kept, or says what is wrong. Texts for people are only trimmed.

use std::borrow::Cow;
use std::net::IpAddr;

/// Longest e-mail address (RFC 5321 §4.5.3.1.3, less the angle brackets).
const MAX_EMAIL: usize = 254;
/// Longest local part of an e-mail address (RFC 5321 §4.5.3.1.1).
const MAX_LOCAL_PART: usize = 64;
/// Longest host name (RFC 1035 §2.3.4, as text).
const MAX_HOST: usize = 253;
/// Longest label of a host name.
const MAX_LABEL: usize = 63;
/// Longest login or handle; no provider allows more than this.
const MAX_HANDLE: usize = 100;
/// Longest URL; what browsers and proxies take without trouble.
const MAX_URL: usize = 2_048;

/// What is wrong with one value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// One stable word.
    pub code: &'static str,
    /// What is wrong and what would be right.
    pub message: String,
}

/// A fault with a code and a text.
pub fn fault<T>(code: &'static str, message: impl Into<String>) -> Result<T, Fault> {
    Err(Fault {
        code,
        message: message.into(),
    })
}

/// Surrounding white space removed; no copy when there is none.
#[must_use]
pub fn trimmed(text: String) -> String {
    let kept = text.trim();
    if kept.len() == text.len() {
        text
    } else {
        kept.to_owned()
    }
}

/// Refuses control characters (NUL, line breaks, escape sequences) and more than `max` characters.
///
/// # Errors
/// `control_character` or `too_long`.
pub fn plain(text: &str, max: usize) -> Result<(), Fault> {
    let printable_ascii = text.bytes().all(|b| (0x20..0x7f).contains(&b));
    if !printable_ascii && text.chars().any(char::is_control) {
        return fault("control_character", "must not contain control characters");
    }
    let length = if printable_ascii {
        text.len()
    } else {
        text.chars().count()
    };
    if length > max {
        return fault("too_long", format!("must have at most {max} characters"));
    }
    Ok(())
}

/// `[A-Za-z0-9_.:-]{1,100}`.
///
/// # Errors
/// `required`, `too_long` or `invalid_format`.
pub fn signal_type(text: &str) -> Result<(), Fault> {
    if text.is_empty() {
        return fault(
            "required",
            "type is required: what happened, for example package_install",
        );
    }
    if text.len() > 100 {
        return fault("too_long", "must have at most 100 characters");
    }
    if !text
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b':' | b'-'))
    {
        return fault(
            "invalid_format",
            "may contain only the characters a-z A-Z 0-9 _ . : -",
        );
    }
    Ok(())
}

/// A login or handle: no white space, no leading `@`.
///
/// # Errors
/// `too_long`, `control_character` or `invalid_format`.
pub fn handle(text: &str) -> Result<(), Fault> {
    plain(text, MAX_HANDLE)?;
    if text.starts_with('@') {
        return fault("invalid_format", "must be written without @");
    }
    if text.contains(char::is_whitespace) {
        return fault("invalid_format", "must not contain white space");
    }
    Ok(())
}

/// A GitHub login: letters, digits, `-` and `_` (enterprise-managed users), and `[bot]` at the end of an app's.
///
/// # Errors
/// `too_long`, `control_character` or `invalid_format`.
pub fn github_login(text: &str) -> Result<(), Fault> {
    handle(text)?;
    let bare = text.strip_suffix("[bot]").unwrap_or(text);
    if bare.is_empty()
        || !bare
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    {
        return fault(
            "invalid_format",
            "must be a GitHub login: letters, digits, - and _",
        );
    }
    Ok(())
}

/// An absolute web address.
///
/// # Errors
/// `too_long`, `control_character` or `invalid_url`.
pub fn web_url(text: &str) -> Result<(), Fault> {
    plain(text, MAX_URL)?;
    let rest = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    match rest {
        Some(rest) if !rest.is_empty() && !rest.starts_with('/') && !rest.contains(char::is_whitespace) => {
            Ok(())
        }
        _ => fault(
            "invalid_url",
            "must be a URL that begins with https:// or http://",
        ),
    }
}

/// An IPv4 or IPv6 address in its canonical spelling.
///
/// # Errors
/// `invalid_ip`.
pub fn ip(text: &str) -> Result<String, Fault> {
    match text.parse::<IpAddr>() {
        Ok(address) => Ok(address.to_canonical().to_string()),
        Err(_) => fault("invalid_ip", "must be an IPv4 or IPv6 address"),
    }
}

/// An ISO 3166-1 alpha-2 code in capitals.
///
/// # Errors
/// `invalid_country`.
pub fn country(text: &str) -> Result<String, Fault> {
    if text.len() == 2 && text.bytes().all(|b| b.is_ascii_alphabetic()) {
        return Ok(text.to_ascii_uppercase());
    }
    fault("invalid_country", "must be an ISO 3166-1 alpha-2 code such as DE")
}

/// An e-mail address (RFC 5321 without quoted local parts and address literals), its domain in ASCII and lower case.
///
/// # Errors
/// `too_long`, `control_character` or `invalid_email`.
pub fn email(text: &str) -> Result<Cow<'_, str>, Fault> {
    plain(text, MAX_EMAIL)?;
    let refuse = || {
        fault(
            "invalid_email",
            "must be an e-mail address such as dev@example.com",
        )
    };
    let Some((local, domain)) = text.rsplit_once('@') else {
        return refuse();
    };
    let allowed = |c: char| {
        !c.is_whitespace()
            && !matches!(
                c,
                '@' | '<' | '>' | '(' | ')' | '[' | ']' | '\\' | ',' | ';' | ':' | '"'
            )
    };
    let dots_separate = !local.starts_with('.') && !local.ends_with('.') && !local.contains("..");
    if local.is_empty() || local.len() > MAX_LOCAL_PART || !dots_separate || !local.chars().all(allowed) {
        return refuse();
    }
    let Ok(host) = host(domain) else {
        return refuse();
    };
    if host.len() + local.len() + 1 > MAX_EMAIL {
        return fault("too_long", format!("must have at most {MAX_EMAIL} characters"));
    }
    Ok(if host == domain {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(format!("{local}@{host}"))
    })
}

/// A host name of at least two labels, in ASCII (punycode) and lower case, without the root's dot.
///
/// # Errors
/// `invalid_domain`.
pub fn host(text: &str) -> Result<Cow<'_, str>, Fault> {
    let rooted = text.strip_suffix('.').unwrap_or(text);
    let ascii = if rooted.is_ascii() && !rooted.contains("xn--") {
        if rooted.bytes().any(|b| b.is_ascii_uppercase()) {
            Cow::Owned(rooted.to_ascii_lowercase())
        } else {
            Cow::Borrowed(rooted)
        }
    } else {
        match idna::domain_to_ascii_strict(rooted) {
            Ok(ascii) => Cow::Owned(ascii),
            Err(_) => return not_a_host(),
        }
    };
    let mut labels = 0;
    let mut last_has_letter = false;
    for label in ascii.split('.') {
        let inner = !label.starts_with('-') && !label.ends_with('-');
        let characters = label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if label.is_empty() || label.len() > MAX_LABEL || !inner || !characters {
            return not_a_host();
        }
        last_has_letter = label.bytes().any(|b| b.is_ascii_alphabetic());
        labels += 1;
    }
    if labels < 2 || !last_has_letter || ascii.len() > MAX_HOST {
        return not_a_host();
    }
    Ok(ascii)
}

fn not_a_host<T>() -> Result<T, Fault> {
    fault(
        "invalid_domain",
        "must be a domain such as example.com, without scheme, port or path",
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn addresses_are_kept_with_their_domain_in_one_spelling() {
        for (text, kept) in [
            ("dev@acme.com", "dev@acme.com"),
            ("Dev.O'Neil+tag@ACME.com", "Dev.O'Neil+tag@acme.com"),
            ("dev@münchen.de", "dev@xn--mnchen-3ya.de"),
            (
                "δοκιμή@παράδειγμα.δοκιμή",
                "δοκιμή@xn--hxajbheg2az3al.xn--jxalpdlp",
            ),
            ("a@b.c.d.example.", "a@b.c.d.example"),
        ] {
            assert_eq!(email(text).unwrap(), kept);
        }
    }

    #[test]
    fn texts_that_are_no_address_are_refused() {
        let long_local = format!("{}@acme.com", "a".repeat(65));
        for text in [
            "",
            "@",
            "dev",
            "dev@",
            "@acme.com",
            "dev@acme",
            "dev@@acme.com",
            "a b@acme.com",
            "dev@acme..com",
            ".dev@acme.com",
            "dev.@acme.com",
            "d..ev@acme.com",
            "<dev@acme.com>",
            "dev@acme.com, x@acme.com",
            "dev@-acme.com",
            "dev@acme.123",
            "dev@127.0.0.1",
            "dev@[127.0.0.1]",
            "\"d\"@acme.com",
            &long_local,
            "dev@acme_x.com",
            "dev@acme.com/",
        ] {
            assert_eq!(email(text).unwrap_err().code, "invalid_email", "{text}");
        }
        let long = format!(
            "{}@{}.com",
            "a".repeat(60),
            ["x".repeat(60), "y".repeat(60), "z".repeat(60), "w".repeat(60)].join(".")
        );
        assert_eq!(email(&long).unwrap_err().code, "too_long");
        assert_eq!(email("de\u{0}v@acme.com").unwrap_err().code, "control_character");
    }

    #[test]
    fn hosts_are_checked_and_lowered() {
        assert_eq!(host("Docs.ACME.com.").unwrap(), "docs.acme.com");
        assert_eq!(host("xn--mnchen-3ya.de").unwrap(), "xn--mnchen-3ya.de");
        for text in [
            "",
            ".",
            "localhost",
            "https://acme.com",
            "acme.com/x",
            "acme.com:80",
            "a..b",
            "10.0.0.1",
            "xn--.com",
        ] {
            assert_eq!(host(text).unwrap_err().code, "invalid_domain", "{text}");
        }
    }

    #[test]
    fn addresses_of_machines_have_one_spelling() {
        assert_eq!(ip("2001:DB8:0:0:0:0:0:1").unwrap(), "2001:db8::1");
        assert_eq!(ip("::ffff:10.0.0.1").unwrap(), "10.0.0.1");
        for text in [
            "",
            "10.0.0",
            "10.0.0.256",
            "010.0.0.1",
            "10.0.0.1/8",
            "fe80::1%eth0",
        ] {
            assert!(ip(text).is_err(), "{text}");
        }
    }

    #[test]
    fn logins_and_urls() {
        assert!(github_login("octo-cat_acme").is_ok());
        assert!(github_login("dependabot[bot]").is_ok());
        for text in ["@octocat", "octo cat", "octo/cat", "[bot]", "ö"] {
            assert_eq!(github_login(text).unwrap_err().code, "invalid_format", "{text}");
        }
        assert!(web_url("https://example.com/a.png").is_ok());
        for text in [
            "javascript:alert(1)",
            "https://",
            "https:///x",
            "//example.com",
            "https://a b",
        ] {
            assert_eq!(web_url(text).unwrap_err().code, "invalid_url", "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_kept_address_is_kept_unchanged(text in "[a-zA-Z0-9.ü@-]{1,30}") {
            if let Ok(kept) = email(&text) {
                let kept = kept.into_owned();
                prop_assert_eq!(email(&kept).unwrap().into_owned(), kept);
            }
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,80}") {
            let _ = (email(&text), host(&text), ip(&text), handle(&text), github_login(&text), web_url(&text));
        }
    }
}
