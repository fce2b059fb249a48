//! The judgement of URLs: spellings of addresses, schemes, names, ports.

use std::net::Ipv4Addr;

use outbound::{MAX_URL_BYTES, Policy, Target, TargetError};
use proptest::prelude::*;

use crate::peer::OPEN;

const PRODUCTION: Policy = Policy {
    allow_http: false,
    allow_private: false,
};

fn refusal(text: &str) -> Option<TargetError> {
    Target::parse(text, &PRODUCTION).err()
}

/// Hosts that mean an address which is not public, or that some reader takes for one.
pub const SPELLINGS: &[&str] = &[
    // loopback: decimal, octal, hexadecimal, mixed, short
    "127.0.0.1",
    "127.1",
    "127.0.1",
    "2130706433",
    "0x7f000001",
    "0X7F000001",
    "017700000001",
    "0177.0.0.1",
    "0x7f.0.0.1",
    "0x7f.1",
    "0177.1",
    "127.0.0.01",
    "127.000.000.001",
    "0x7F.0x0.0x0.0x1",
    "127.0x0.0.1",
    "00000177.0.0.01",
    "127.0.0.1.",
    "127.1.",
    "2130706433.",
    "127.255.255.254",
    // unspecified
    "0",
    "0.0.0.0",
    "0x0",
    "00",
    "0.0",
    "0.",
    // metadata and link-local
    "169.254.169.254",
    "2852039166",
    "0xa9fea9fe",
    "0251.0376.0251.0376",
    "0xa9.0xfe.0xa9.0xfe",
    "169.254.43518",
    "169.16689662",
    "169.254.169.254.",
    "168.63.129.16",
    "100.100.100.200",
    // private, carriers', broadcast, multicast
    "10.0.0.1",
    "10.1",
    "167772161",
    "012.0.0.1",
    "0xa.0.0.1",
    "172.16.0.1",
    "172.31.255.254",
    "192.168.0.1",
    "192.168.1",
    "0xc0a80001",
    "0300.0250.0.1",
    "100.64.0.1",
    "198.18.0.1",
    "255.255.255.255",
    "4294967295",
    "224.0.0.1",
    "240.0.0.1",
    "192.0.2.1",
    "198.51.100.1",
    "203.0.113.1",
    // IPv6
    "[::1]",
    "[::]",
    "[0:0:0:0:0:0:0:1]",
    "[0000:0000:0000:0000:0000:0000:0000:0001]",
    "[::ffff:127.0.0.1]",
    "[::FFFF:7F00:1]",
    "[0:0:0:0:0:ffff:127.0.0.1]",
    "[::127.0.0.1]",
    "[::ffff:0:127.0.0.1]",
    "[::5efe:7f00:1]",
    "[::ffff:169.254.169.254]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b::a9fe:a9fe]",
    "[64:ff9b:1::7f00:1]",
    "[2002:7f00:1::]",
    "[2002:a9fe:a9fe::1]",
    "[2001:0:7f00:1::]",
    "[fe80::1]",
    "[fec0::1]",
    "[fc00::1]",
    "[fd00:ec2::254]",
    "[fd20:ce::254]",
    "[ff02::1]",
    "[2001:db8::1]",
    "[3fff::1]",
    "[100::1]",
    "[5f00::1]",
    "[fe80::1%25eth0]",
    "[fe80::1%eth0]",
    "[::1%25lo]",
    "[v1.127.0.0.1]",
    // other scripts and encodings
    "127。0。0。1",
    "127．0．0．1",
    "127｡0｡0｡1",
    "１２７.0.0.1",
    "①②⑦.⓪.⓪.①",
    "⑯⑨。②⑤④。⑯⑨。②⑤④",
    "%31%32%37.0.0.1",
    "127%2e0%2e0%2e1",
    "%5b::1%5d",
    "0x7f%2e1",
    "127.0.0.1%00.example.com",
    "127.0.0.1%0a",
    "loc%61lhost",
    "ⓛocalhost",
    "ｌｏｃａｌｈｏｓｔ",
    // names of one's own machine and network
    "localhost",
    "LOCALHOST",
    "localhost.",
    "a.localhost",
    "localhost.localdomain",
    "foo.local",
    "metadata.google.internal",
    "metadata",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
    "router.lan",
    "intranet",
    "host.docker.internal",
    "1.0.0.127.in-addr.arpa",
    "example.onion",
    "x.test",
    "x.invalid",
    "foo.home.arpa",
    // what ends in a number is an address or nothing
    "foo.127",
    "foo.0x7f",
    "1.2.3.4.5",
    "256.256.256.256",
    "127.0.0.256",
    "0x100000000",
    "1.2.3.08",
];

#[test]
fn no_spelling_of_an_address_that_is_not_public_is_taken() {
    assert!(SPELLINGS.len() >= 120, "{}", SPELLINGS.len());
    for host in SPELLINGS {
        for url in [
            format!("https://{host}"),
            format!("https://{host}/"),
            format!("https://{host}:8443/hook?x=1"),
            format!("HTTPS://{host}/../a"),
        ] {
            assert!(refusal(&url).is_some(), "{url}");
        }
        // Nor with the scheme allowed.
        let http = Policy {
            allow_http: true,
            allow_private: false,
        };
        assert!(
            Target::parse(&format!("http://{host}/"), &http).is_err(),
            "{host}"
        );
    }
}

#[test]
fn a_public_address_is_taken_in_its_one_usual_form_only() {
    for host in [
        "8.8.8.8",
        "93.184.215.14",
        "[2606:4700::1111]",
        "[2606:4700:0:0::1111]",
        "[64:ff9b::8.8.8.8]",
    ] {
        assert_eq!(refusal(&format!("https://{host}/")), None, "{host}");
    }
    for host in [
        "134744072",
        "0x08080808",
        "010.8.8.8",
        "8.526344",
        "8.8.2056",
        "8.8.8.8.",
        "8.8.8.010",
        "08.8.8.8",
    ] {
        assert!(
            matches!(
                refusal(&format!("https://{host}/")),
                Some(TargetError::AddressForm | TargetError::Host)
            ),
            "{host}"
        );
    }
}

#[test]
fn schemes_credentials_fragments_ports_and_confusions_are_refused_by_name() {
    use TargetError as E;
    for (url, expected) in [
        ("http://example.com/", E::Scheme),
        ("ftp://example.com/", E::Scheme),
        ("file:///etc/passwd", E::Scheme),
        ("gopher://example.com:70/", E::Scheme),
        ("javascript:alert(1)", E::Scheme),
        ("data:text/plain,x", E::Scheme),
        ("ws://example.com/", E::Scheme),
        ("example.com/hook", E::Malformed),
        ("//example.com/", E::Malformed),
        ("https:/example.com/", E::Malformed),
        ("https:example.com", E::Malformed),
        ("https:///example.com/", E::Malformed),
        ("https://", E::Malformed),
        ("", E::Malformed),
        ("https://exa mple.com/", E::Malformed),
        ("https://example.com/a b", E::Malformed),
        ("https://example.com/\t", E::Malformed),
        ("https://example.com\n/", E::Malformed),
        (" https://example.com/", E::Malformed),
        ("https://example.com\\@127.0.0.1/", E::Malformed),
        ("https:\\\\127.0.0.1\\", E::Malformed),
        ("https://exam\u{200b}ple.com/", E::Malformed),
        ("https://user@example.com/", E::Credentials),
        ("https://user:pass@example.com/", E::Credentials),
        ("https://:@example.com/", E::Credentials),
        ("https://@example.com/", E::Credentials),
        ("https://example.com@127.0.0.1/", E::Credentials),
        ("https://127.0.0.1@example.com/", E::Credentials),
        ("https://example.com#@127.0.0.1/", E::Fragment),
        ("https://example.com/#x", E::Fragment),
        ("https://example.com:0/", E::Port),
        ("https://example.com:22/", E::Port),
        ("https://example.com:25/", E::Port),
        ("https://example.com:5432/", E::Port),
        ("https://example.com:6379/", E::Port),
        ("https://example.com:4222/", E::Port),
        ("https://example.com:65536/", E::Port),
        ("https://example.com:x/", E::Port),
        ("https://example/", E::Host),
        ("https://.example.com/", E::Host),
        ("https://example..com/", E::Host),
        ("https://example.com../", E::Host),
        ("https://-/", E::Host),
        ("https://*.example.com/", E::Host),
    ] {
        assert_eq!(refusal(url), Some(expected), "{url}");
        assert!(!expected.code().is_empty() && !expected.to_string().is_empty());
    }
}

#[test]
fn usual_urls_are_taken_as_they_are() {
    for url in [
        "https://example.com/",
        "https://hooks.example.com/a/b?token=c%20d&e=%F0%9F%98%80",
        "https://example.com:8443/hook",
        "https://example.com:443/hook",
        "https://xn--bcher-kva.example.com/",
        "https://bücher.example.com/",
        "https://under_score.example.com/",
        "https://example.com./",
        "HTTPS://EXAMPLE.COM/Path",
    ] {
        let target = Target::parse(url, &PRODUCTION).unwrap_or_else(|error| panic!("{url}: {error}"));
        assert!(target.is_https());
        let again = Target::parse(target.as_str(), &PRODUCTION).unwrap();
        assert!(again == target, "{url} is read differently the second time");
    }
    let dotted = Target::parse("https://EXAMPLE.com./x", &PRODUCTION).unwrap();
    assert_eq!((dotted.host().as_str(), dotted.port()), ("example.com", 443));
}

#[test]
fn length_is_bounded_before_and_after_encoding() {
    let long = |n: usize| format!("https://example.com/{}", "a".repeat(n));
    assert_eq!(refusal(&long(MAX_URL_BYTES - 20)), None);
    assert_eq!(refusal(&long(MAX_URL_BYTES - 19)), Some(TargetError::TooLong));
    assert_eq!(
        refusal(&format!("https://example.com/{}", "ü".repeat(900))),
        Some(TargetError::TooLong)
    );
    assert_eq!(
        refusal(&format!("https://{}.com/", "a".repeat(64))),
        Some(TargetError::Host)
    );
}

#[test]
fn development_takes_http_and_loopback_and_not_the_metadata_service() {
    for url in [
        "http://127.0.0.1:9000/x",
        "http://localhost:9000/",
        "http://[::1]:9000/",
        "http://receiver:8080/",
        "https://10.0.0.1/",
    ] {
        assert!(Target::parse(url, &OPEN).is_ok(), "{url}");
    }
    for url in [
        "http://169.254.169.254/",
        "http://0.0.0.0/",
        "http://[::ffff:127.0.0.1]/",
        "http://2130706433/",
        "http://0x7f.1/",
    ] {
        assert!(Target::parse(url, &OPEN).is_err(), "{url}");
    }
}

#[test]
fn a_targets_debug_text_holds_no_path() {
    let target = Target::parse("https://example.com/secret-path?token=secret", &PRODUCTION).unwrap();
    assert!(!format!("{target:?}").contains("secret"));
}

/// One number in one of the bases that C's `inet_aton` reads.
fn number(value: u32, base: u8, zeros: usize) -> String {
    match base % 3 {
        0 => value.to_string(),
        1 => format!("0x{}{value:x}", "0".repeat(zeros)),
        _ => format!("0{}{value:o}", "0".repeat(zeros)),
    }
}

/// An address in one of the forms that `inet_aton` reads: one to four parts, each in some base.
fn spelling(bits: u32, parts: u8, bases: [u8; 4], zeros: usize) -> String {
    let [a, b, c, d] = bits.to_be_bytes().map(u32::from);
    let values: Vec<u32> = match parts % 4 {
        0 => vec![bits],
        1 => vec![a, bits & 0x00ff_ffff],
        2 => vec![a, b, bits & 0xffff],
        _ => vec![a, b, c, d],
    };
    let texts: Vec<String> = values
        .iter()
        .zip(bases)
        .map(|(value, base)| number(*value, base, zeros))
        .collect();
    texts.join(".")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(30_000))]

    #[test]
    fn an_address_is_taken_exactly_if_it_is_public_and_in_its_usual_form(
        bits in any::<u32>(), parts in any::<u8>(), bases in any::<[u8; 4]>(), zeros in 0_usize..3, dot in any::<bool>(),
    ) {
        let text = spelling(bits, parts, bases, zeros) + if dot { "." } else { "" };
        let address = Ipv4Addr::from_bits(bits);
        let usual = text == address.to_string();
        let public = outbound::address::judge(address.into()).is_none();
        let taken = Target::parse(&format!("https://{text}/"), &PRODUCTION).is_ok();
        prop_assert_eq!(taken, usual && public, "{} is {}", text, address);
    }

    #[test]
    fn whatever_is_taken_is_read_the_same_again_and_is_public(text in "https?://[a-z0-9.:\\[\\]%@#/?\\\\xX٠-٩。．ａ-ｚ０-９ -]{0,40}") {
        if let Ok(target) = Target::parse(&text, &PRODUCTION) {
            prop_assert!(target.is_https());
            let again = Target::parse(target.as_str(), &PRODUCTION);
            prop_assert!(again.is_ok_and(|again| again == target), "{}", text);
            if let Ok(ip) = target.host().parse() {
                prop_assert!(outbound::address::judge(ip).is_none());
            } else {
                prop_assert!(target.host().contains('.'));
            }
        }
    }

    #[test]
    fn any_text_at_all_is_judged_without_a_panic(text in any::<String>()) {
        let _ = Target::parse(&text, &PRODUCTION);
        let _ = Target::parse(&format!("https://{text}"), &OPEN);
    }
}
