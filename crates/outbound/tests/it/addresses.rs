//! The judgement of single addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use outbound::address::{Kind, judge, may_connect};
use proptest::prelude::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn special_addresses_have_their_kind_at_both_ends_of_each_block() {
    let table: &[(Kind, &[&str])] = &[
        (Kind::Unspecified, &["0.0.0.0", "0.255.255.255", "::"]),
        (
            Kind::Loopback,
            &["127.0.0.0", "127.0.0.1", "127.255.255.255", "::1"],
        ),
        (
            Kind::Private,
            &[
                "10.0.0.0",
                "10.255.255.255",
                "172.16.0.0",
                "172.31.255.255",
                "192.168.0.0",
                "192.168.255.255",
                "fc00::",
                "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            ],
        ),
        (Kind::CarrierNat, &["100.64.0.0", "100.127.255.255"]),
        (
            Kind::LinkLocal,
            &["169.254.0.0", "169.254.255.255", "fe80::1", "febf:ffff::"],
        ),
        (
            Kind::Metadata,
            &[
                "169.254.169.254",
                "169.254.170.2",
                "100.100.100.200",
                "192.0.0.192",
                "168.63.129.16",
                "fd00:ec2::254",
                "fd20:ce::254",
                "fd00:c1::a9fe:a9fe",
            ],
        ),
        (
            Kind::Multicast,
            &["224.0.0.0", "239.255.255.255", "ff00::", "ff02::1", "ffff::"],
        ),
        (
            Kind::Documentation,
            &[
                "192.0.2.0",
                "192.0.2.255",
                "198.51.100.0",
                "203.0.113.255",
                "2001:db8::",
                "2001:db8:ffff::1",
                "3fff::1",
                "3fff:fff:ffff::",
            ],
        ),
        (Kind::Benchmark, &["198.18.0.0", "198.19.255.255"]),
        (
            Kind::Reserved,
            &[
                "192.0.0.0",
                "192.0.0.255",
                "192.31.196.1",
                "192.52.193.1",
                "192.175.48.1",
                "240.0.0.0",
                "255.255.255.255",
                "2001::1",
                "2001:2::1",
                "2001:1ff:ffff::",
                "2620:4f:8000::1",
                "3ffe::1",
                "100::1",
                "fec0::1",
                "feff::1",
                "4000::1",
                "5f00::1",
                "e000::1",
                "1fff::1",
                "200::1",
                "400::1",
            ],
        ),
        (
            Kind::Embedded,
            &[
                "192.88.99.1",
                "2002::1",
                "2002:7f00:1::",
                "2002:5db8:d70e::1",
                "::7f00:1",
                "::ffff:127.0.0.1",
                "::ffff:93.184.215.14",
                "::ffff:0:7f00:1",
                "::5efe:7f00:1",
                "64:ff9b::7f00:1",
                "64:ff9b::a00:1",
                "64:ff9b::a9fe:a9fe",
                "64:ff9b:1::1",
                "64:ff9b:1:ffff::5db8:d70e",
                "2a00:1450::5efe:7f00:1",
                "2a00:1450::200:5efe:a9fe:a9fe",
            ],
        ),
    ];
    for (kind, addresses) in table {
        for address in *addresses {
            assert_eq!(judge(ip(address)), Some(*kind), "{address}");
        }
    }
}

#[test]
fn public_addresses_are_public_up_to_the_edges_of_special_blocks() {
    for address in [
        "1.1.1.1",
        "8.8.8.8",
        "9.255.255.255",
        "11.0.0.0",
        "93.184.215.14",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "169.253.255.255",
        "169.255.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "192.0.1.0",
        "192.0.3.0",
        "192.167.255.255",
        "192.169.0.0",
        "198.17.255.255",
        "198.20.0.0",
        "203.0.114.0",
        "223.255.255.255",
        "168.63.129.17",
        "2000::1",
        "2001:200::1",
        "2001:db7:ffff::1",
        "2001:db9::1",
        "2003::1",
        "2606:4700::1111",
        "2a00:1450:4001::1",
        "3fff:1000::1",
        "64:ff9b::808:808",
        "2a00:1450::5efe:808:808",
    ] {
        assert_eq!(judge(ip(address)), None, "{address}");
        assert!(may_connect(ip(address), false), "{address}");
    }
}

#[test]
fn development_opens_ones_own_machine_and_network_and_nothing_else() {
    for address in [
        "127.0.0.1",
        "::1",
        "10.1.2.3",
        "192.168.1.1",
        "172.20.0.1",
        "fd12::1",
    ] {
        assert!(!may_connect(ip(address), false), "{address}");
        assert!(may_connect(ip(address), true), "{address}");
    }
    for address in [
        "169.254.169.254",
        "169.254.1.1",
        "fd00:ec2::254",
        "100.100.100.200",
        "0.0.0.0",
        "::",
        "224.0.0.1",
        "255.255.255.255",
        "::ffff:127.0.0.1",
        "64:ff9b::7f00:1",
        "192.0.2.1",
        "fe80::1",
    ] {
        assert!(!may_connect(ip(address), true), "{address}");
    }
}

/// The same rule written in another way: masks over octets, as the registries print them.
fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, d] = address.octets();
    let special = a == 0
        || a == 10
        || a == 127
        || a >= 224
        || (a == 100 && b & 0xc0 == 64)
        || (a == 169 && b == 254)
        || (a == 172 && b & 0xf0 == 16)
        || (a == 192 && b == 168)
        || (a == 198 && b & 0xfe == 18)
        || matches!(
            (a, b, c),
            (192, 0, 0 | 2)
                | (192, 31, 196)
                | (192, 52, 193)
                | (192, 88, 99)
                | (192, 175, 48)
                | (198, 51, 100)
                | (203, 0, 113)
        )
        || (a, b, c, d) == (168, 63, 129, 16);
    !special
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40_000))]

    #[test]
    fn every_ipv4_address_is_judged_as_the_registries_say(bits in any::<u32>()) {
        let address = Ipv4Addr::from_bits(bits);
        prop_assert_eq!(judge(address.into()).is_none(), is_public_v4(address));
    }

    #[test]
    fn an_ipv4_address_inside_an_ipv6_address_is_never_better_than_by_itself(bits in any::<u32>(), low in any::<u16>()) {
        let [a, b, c, d] = bits.to_be_bytes();
        let high = u16::from_be_bytes([a, b]);
        let tail = u16::from_be_bytes([c, d]);
        let public = is_public_v4(Ipv4Addr::from_bits(bits));
        // Mapped, compatible, SIIT, 6to4, Teredo and NAT64 of one's own network: never.
        for never in [
            Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, high, tail),
            Ipv6Addr::new(0, 0, 0, 0, 0, 0, high, tail),
            Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, high, tail),
            Ipv6Addr::new(0, 0, 0, 0, 0, 0x5efe, high, tail),
            Ipv6Addr::new(0x2002, high, tail, low, 0, 0, 0, low),
            Ipv6Addr::new(0x2001, 0, low, low, 0, 0, !high, !tail),
            Ipv6Addr::new(0x0064, 0xff9b, 1, low, 0, 0, high, tail),
        ] {
            prop_assert!(!may_connect(never.into(), false), "{}", never);
        }
        // The well-known NAT64 prefix and ISATAP: as what they embed.
        for same in [
            Ipv6Addr::new(0x0064, 0xff9b, 0, 0, 0, 0, high, tail),
            Ipv6Addr::new(0x2a00, 0x1450, low, 0, 0, 0x5efe, high, tail),
            Ipv6Addr::new(0x2a00, 0x1450, low, 0, 0x0200, 0x5efe, high, tail),
        ] {
            prop_assert_eq!(may_connect(same.into(), false), public, "{}", same);
        }
    }

    #[test]
    fn an_ipv6_address_outside_the_global_block_is_never_public(bits in any::<u128>()) {
        let address = Ipv6Addr::from_bits(bits);
        let global = address.segments()[0] & 0xe000 == 0x2000;
        let translated = address.segments()[..6] == [0x64, 0xff9b, 0, 0, 0, 0];
        prop_assert!(global || translated || judge(address.into()).is_some());
        // And whatever development opens is loopback or unique local.
        if may_connect(address.into(), true) && !may_connect(address.into(), false) {
            prop_assert!(address == Ipv6Addr::LOCALHOST || address.segments()[0] & 0xfe00 == 0xfc00);
        }
    }
}
