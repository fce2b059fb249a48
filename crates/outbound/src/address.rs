//! The one list of addresses that are not on the public internet.
//!
//! Owns the judgement of a single IP address; whoever connects anywhere asks here. It must not
//! resolve, connect, or know any setting except whether private addresses are opened.
//!
//! Sources: the IANA special-purpose registries for IPv4 and IPv6 (RFC 6890 and its updates),
//! RFC 4291 (mapped, compatible), RFC 3056 (6to4), RFC 4380 (Teredo), RFC 6052 and 8215 (NAT64),
//! RFC 5214 (ISATAP), and the addresses that clouds serve instance metadata at.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Why an address is not public.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `0.0.0.0/8`, `::`: this host, on this network.
    Unspecified,
    /// `127.0.0.0/8`, `::1`.
    Loopback,
    /// RFC 1918 and unique local (RFC 4193).
    Private,
    /// `100.64.0.0/10`, between a provider and its customers.
    CarrierNat,
    /// `169.254.0.0/16`, `fe80::/10`.
    LinkLocal,
    /// Where a cloud tells a machine its secrets.
    Metadata,
    /// Many receivers, or all of a network.
    Multicast,
    /// For books and examples.
    Documentation,
    /// For measuring networks.
    Benchmark,
    /// Set aside by a registry for a protocol, or for nobody yet.
    Reserved,
    /// An IPv6 address that stands for an IPv4 address which may be reached through a translator or a tunnel.
    Embedded,
}

impl Kind {
    /// Whether the setting for development opens it: one's own machine and one's own network, never more.
    #[must_use]
    pub fn opens_for_development(self) -> bool {
        matches!(self, Self::Loopback | Self::Private)
    }
}

/// `None` if the address is public; else why it is not.
#[must_use]
pub fn judge(address: IpAddr) -> Option<Kind> {
    match address {
        IpAddr::V4(v4) => judge_v4(v4),
        IpAddr::V6(v6) => judge_v6(v6),
    }
}

/// Whether a connection may be made: public, or opened by `allow_private`.
#[must_use]
pub fn may_connect(address: IpAddr, allow_private: bool) -> bool {
    judge(address).is_none_or(|kind| allow_private && kind.opens_for_development())
}

/// Single addresses that stand inside other networks, or look public. First match wins, so they stand before the table.
const METADATA_V4: &[Ipv4Addr] = &[
    Ipv4Addr::new(169, 254, 169, 254), // most clouds
    Ipv4Addr::new(169, 254, 170, 2),   // tasks of AWS ECS
    Ipv4Addr::new(100, 100, 100, 200), // Alibaba, inside the carriers' block
    Ipv4Addr::new(192, 0, 0, 192),     // Oracle
    Ipv4Addr::new(168, 63, 129, 16),   // Azure's host: looks public, answers only inside
];

const METADATA_V6: &[Ipv6Addr] = &[
    Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x254), // AWS
    Ipv6Addr::new(0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x254), // Google
    Ipv6Addr::new(0xfd00, 0x00c1, 0, 0, 0, 0, 0xa9fe, 0xa9fe), // Oracle
];

/// Network, length of its prefix, kind.
const V4: &[(Ipv4Addr, u32, Kind)] = &[
    (Ipv4Addr::new(0, 0, 0, 0), 8, Kind::Unspecified),
    (Ipv4Addr::new(10, 0, 0, 0), 8, Kind::Private),
    (Ipv4Addr::new(100, 64, 0, 0), 10, Kind::CarrierNat),
    (Ipv4Addr::new(127, 0, 0, 0), 8, Kind::Loopback),
    (Ipv4Addr::new(169, 254, 0, 0), 16, Kind::LinkLocal),
    (Ipv4Addr::new(172, 16, 0, 0), 12, Kind::Private),
    (Ipv4Addr::new(192, 0, 0, 0), 24, Kind::Reserved), // IETF protocols, NAT64 discovery, DS-Lite
    (Ipv4Addr::new(192, 0, 2, 0), 24, Kind::Documentation),
    (Ipv4Addr::new(192, 31, 196, 0), 24, Kind::Reserved), // AS112
    (Ipv4Addr::new(192, 52, 193, 0), 24, Kind::Reserved), // AMT
    (Ipv4Addr::new(192, 88, 99, 0), 24, Kind::Embedded),  // relays of 6to4
    (Ipv4Addr::new(192, 168, 0, 0), 16, Kind::Private),
    (Ipv4Addr::new(192, 175, 48, 0), 24, Kind::Reserved), // AS112
    (Ipv4Addr::new(198, 18, 0, 0), 15, Kind::Benchmark),
    (Ipv4Addr::new(198, 51, 100, 0), 24, Kind::Documentation),
    (Ipv4Addr::new(203, 0, 113, 0), 24, Kind::Documentation),
    (Ipv4Addr::new(224, 0, 0, 0), 4, Kind::Multicast),
    (Ipv4Addr::new(240, 0, 0, 0), 4, Kind::Reserved), // with the limited broadcast
];

/// What is refused inside `2000::/3`, the only block that the registries give out.
const V6_GLOBAL: &[(Ipv6Addr, u32, Kind)] = &[
    // Protocol assignments: Teredo, benchmarks, ORCHID, DETs, AMT, AS112, PCP anycast. Nobody serves HTTP there.
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23, Kind::Reserved),
    (
        Ipv6Addr::new(0x2001, 0x0db8, 0, 0, 0, 0, 0, 0),
        32,
        Kind::Documentation,
    ),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16, Kind::Embedded), // 6to4
    (
        Ipv6Addr::new(0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0),
        48,
        Kind::Reserved,
    ), // AS112
    (Ipv6Addr::new(0x3ffe, 0, 0, 0, 0, 0, 0, 0), 16, Kind::Reserved), // 6bone, given back
    (
        Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0),
        20,
        Kind::Documentation,
    ),
];

/// What stands outside `2000::/3` and has a name; all else there is reserved.
const V6_OTHER: &[(Ipv6Addr, u32, Kind)] = &[
    (Ipv6Addr::UNSPECIFIED, 128, Kind::Unspecified),
    (Ipv6Addr::LOCALHOST, 128, Kind::Loopback),
    (Ipv6Addr::UNSPECIFIED, 8, Kind::Embedded), // compatible, mapped, SIIT, ISATAP without a prefix
    (
        Ipv6Addr::new(0x0064, 0xff9b, 1, 0, 0, 0, 0, 0),
        48,
        Kind::Embedded,
    ), // NAT64 of one's own network
    (Ipv6Addr::new(0x0100, 0, 0, 0, 0, 0, 0, 0), 64, Kind::Reserved), // discard
    (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7, Kind::Private),
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10, Kind::LinkLocal),
    (Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 0), 10, Kind::Reserved), // site local, deprecated
    (Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8, Kind::Multicast),
];

fn judge_v4(address: Ipv4Addr) -> Option<Kind> {
    if METADATA_V4.contains(&address) {
        return Some(Kind::Metadata);
    }
    V4.iter()
        .find(|(network, length, _)| (address.to_bits() ^ network.to_bits()) >> (32 - length) == 0)
        .map(|(_, _, kind)| *kind)
}

fn judge_v6(address: Ipv6Addr) -> Option<Kind> {
    if METADATA_V6.contains(&address) {
        return Some(Kind::Metadata);
    }
    let segments = address.segments();
    // The well-known NAT64 prefix is how a machine without IPv4 reaches the public IPv4 internet (DNS64 makes such
    // answers), so what it embeds decides.
    if segments[..6] == [0x0064, 0xff9b, 0, 0, 0, 0] {
        return judge_v4(low_v4(address)).map(|_| Kind::Embedded);
    }
    if segments[0] & 0xe000 != 0x2000 {
        return Some(find_v6(V6_OTHER, address).unwrap_or(Kind::Reserved));
    }
    if let Some(kind) = find_v6(V6_GLOBAL, address) {
        return Some(kind);
    }
    // ISATAP: an interface that packs what follows into IPv4. The two variants differ in the "universal" bit.
    if segments[4] & !0x0200 == 0 && segments[5] == 0x5efe {
        return judge_v4(low_v4(address)).map(|_| Kind::Embedded);
    }
    None
}

fn find_v6(table: &[(Ipv6Addr, u32, Kind)], address: Ipv6Addr) -> Option<Kind> {
    table
        .iter()
        .find(|(network, length, _)| (address.to_bits() ^ network.to_bits()) >> (128 - length) == 0)
        .map(|(_, _, kind)| *kind)
}

fn low_v4(address: Ipv6Addr) -> Ipv4Addr {
    let [.., a, b, c, d] = address.octets();
    Ipv4Addr::new(a, b, c, d)
}
