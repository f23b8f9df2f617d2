//! Which addresses may be connected to. Pure: an address in, a judgement out. Who asks (the resolver for names, the
//! client for literal addresses) is `resolve` and `client`; what a rule says about a host's *name* is `policy`.
//!
//! Everything is forbidden that is not known to be allowed: of IPv6, only 2000::/3 is the Internet's, and addresses
//! that carry an IPv4 address inside are judged by that address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What an address is, for the purpose of letting a guest reach it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// On the Internet.
    Public,
    /// This machine or its private networks: only for hosts that the operator listed as private.
    Private,
    /// Nobody may: metadata services and other link-local addresses, multicast, reserved and documentation ranges,
    /// and `0.0.0.0`, which would be this machine under another name.
    Never,
}

/// Judges an address.
pub(crate) fn reach(address: IpAddr) -> Reach {
    match address {
        IpAddr::V4(v4) => reach_v4(v4),
        IpAddr::V6(v6) => reach_v6(v6),
    }
}

/// Whether an address may be connected to, for a host that is or is not listed as private.
pub(crate) fn allowed(address: IpAddr, private_host: bool) -> bool {
    match reach(address) {
        Reach::Public => true,
        Reach::Private => private_host,
        Reach::Never => false,
    }
}

/// Ranges of IPv4 that are not the Internet (IANA special-purpose registry), first match wins.
const V4: &[(Ipv4Addr, u32, Reach)] = &[
    (Ipv4Addr::new(0, 0, 0, 0), 8, Reach::Never),
    (Ipv4Addr::new(10, 0, 0, 0), 8, Reach::Private),
    // Shared address space of carriers (RFC 6598); some clouds keep their metadata service here.
    (Ipv4Addr::new(100, 100, 100, 200), 32, Reach::Never),
    (Ipv4Addr::new(100, 64, 0, 0), 10, Reach::Private),
    (Ipv4Addr::new(127, 0, 0, 0), 8, Reach::Private),
    // Link-local; 169.254.169.254 is the metadata service of most clouds.
    (Ipv4Addr::new(169, 254, 0, 0), 16, Reach::Never),
    (Ipv4Addr::new(172, 16, 0, 0), 12, Reach::Private),
    (Ipv4Addr::new(192, 0, 0, 0), 24, Reach::Never),
    (Ipv4Addr::new(192, 0, 2, 0), 24, Reach::Never),
    (Ipv4Addr::new(192, 88, 99, 0), 24, Reach::Never),
    (Ipv4Addr::new(192, 168, 0, 0), 16, Reach::Private),
    (Ipv4Addr::new(198, 18, 0, 0), 15, Reach::Never),
    (Ipv4Addr::new(198, 51, 100, 0), 24, Reach::Never),
    (Ipv4Addr::new(203, 0, 113, 0), 24, Reach::Never),
    // Multicast, reserved and broadcast: 224.0.0.0 to the end.
    (Ipv4Addr::new(224, 0, 0, 0), 3, Reach::Never),
];

/// The address of the platform services of one large cloud, though it lies in a public range.
const WIRE_SERVER: Ipv4Addr = Ipv4Addr::new(168, 63, 129, 16);

fn reach_v4(address: Ipv4Addr) -> Reach {
    if address == WIRE_SERVER {
        return Reach::Never;
    }
    let bits = u32::from(address);
    for (network, length, reach) in V4 {
        if (bits ^ u32::from(*network)) >> (32 - length) == 0 {
            return *reach;
        }
    }
    Reach::Public
}

/// Ranges inside 2000::/3 that are not the Internet.
const V6_NEVER: &[(Ipv6Addr, u32)] = &[
    // Protocol assignments: Teredo (2001::/32), benchmarking, ORCHID.
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
];

/// The metadata service of one large cloud, in the unique local range.
const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);

fn within(address: Ipv6Addr, network: Ipv6Addr, length: u32) -> bool {
    (u128::from(address) ^ u128::from(network)) >> (128 - length) == 0
}

/// The IPv4 address that an IPv6 address stands for, if it is of a form that carries one to its destination.
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let s = address.segments();
    let pair = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match s {
        // Mapped (::ffff:a.b.c.d), translated (::ffff:0:a.b.c.d), and NAT64 (64:ff9b::a.b.c.d).
        [0, 0, 0, 0, 0, 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(pair(high, low)),
        // 6to4: the relay's address stands after the prefix.
        [0x2002, high, low, ..] => Some(pair(high, low)),
        _ => None,
    }
}

fn reach_v6(address: Ipv6Addr) -> Reach {
    if let Some(v4) = embedded_v4(address) {
        return reach_v4(v4);
    }
    if address == Ipv6Addr::LOCALHOST {
        return Reach::Private;
    }
    if address == METADATA_V6 {
        return Reach::Never;
    }
    // Unique local addresses.
    if within(address, Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7) {
        return Reach::Private;
    }
    let internet = within(address, Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);
    if !internet || V6_NEVER.iter().any(|(network, length)| within(address, *network, *length)) {
        return Reach::Never;
    }
    Reach::Public
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[(&str, Reach)] = &[
        ("8.8.8.8", Reach::Public),
        ("1.1.1.1", Reach::Public),
        ("9.255.255.255", Reach::Public),
        ("11.0.0.0", Reach::Public),
        ("100.63.255.255", Reach::Public),
        ("100.128.0.0", Reach::Public),
        ("126.255.255.255", Reach::Public),
        ("128.0.0.0", Reach::Public),
        ("172.15.255.255", Reach::Public),
        ("172.32.0.0", Reach::Public),
        ("192.0.1.0", Reach::Public),
        ("192.167.255.255", Reach::Public),
        ("198.17.255.255", Reach::Public),
        ("198.20.0.0", Reach::Public),
        ("223.255.255.255", Reach::Public),
        ("10.0.0.1", Reach::Private),
        ("100.64.0.1", Reach::Private),
        ("127.0.0.1", Reach::Private),
        ("127.255.255.255", Reach::Private),
        ("172.16.0.1", Reach::Private),
        ("172.31.255.255", Reach::Private),
        ("192.168.1.1", Reach::Private),
        ("0.0.0.0", Reach::Never),
        ("0.1.2.3", Reach::Never),
        ("100.100.100.200", Reach::Never),
        ("168.63.129.16", Reach::Never),
        ("169.254.169.254", Reach::Never),
        ("169.254.0.1", Reach::Never),
        ("192.0.0.192", Reach::Never),
        ("192.0.2.1", Reach::Never),
        ("192.88.99.1", Reach::Never),
        ("198.18.0.1", Reach::Never),
        ("198.19.255.255", Reach::Never),
        ("198.51.100.1", Reach::Never),
        ("203.0.113.1", Reach::Never),
        ("224.0.0.1", Reach::Never),
        ("239.255.255.255", Reach::Never),
        ("240.0.0.1", Reach::Never),
        ("255.255.255.255", Reach::Never),
        ("2606:4700::1111", Reach::Public),
        ("2001:4860:4860::8888", Reach::Public),
        ("::ffff:8.8.8.8", Reach::Public),
        ("64:ff9b::8.8.8.8", Reach::Public),
        ("2002:808:808::1", Reach::Public),
        ("::1", Reach::Private),
        ("fc00::1", Reach::Private),
        ("fd12:3456::1", Reach::Private),
        ("::ffff:127.0.0.1", Reach::Private),
        ("::ffff:7f00:1", Reach::Private),
        ("::ffff:0:127.0.0.1", Reach::Private),
        ("64:ff9b::10.0.0.1", Reach::Private),
        ("2002:7f00:1::", Reach::Private),
        ("2002:c0a8:101::1", Reach::Private),
        ("::", Reach::Never),
        // The old "compatible" form is neither routed nor needed.
        ("::127.0.0.1", Reach::Never),
        ("::8.8.8.8", Reach::Never),
        ("::ffff:169.254.169.254", Reach::Never),
        ("64:ff9b::a9fe:a9fe", Reach::Never),
        ("64:ff9b:1::1", Reach::Never),
        ("64:ff9b:1::8.8.8.8", Reach::Never),
        ("2002:a9fe:a9fe::", Reach::Never),
        ("2001:0:4136:e378:8000:63bf:3fff:fdd2", Reach::Never),
        ("2001:10::1", Reach::Never),
        ("2001:db8::1", Reach::Never),
        ("3fff::1", Reach::Never),
        ("5f00::1", Reach::Never),
        ("100::1", Reach::Never),
        ("fe80::1", Reach::Never),
        ("febf::1", Reach::Never),
        ("fec0::1", Reach::Never),
        ("fd00:ec2::254", Reach::Never),
        ("ff02::1", Reach::Never),
        ("4000::1", Reach::Never),
    ];

    #[test]
    fn every_kind_of_address_is_judged() {
        for (text, expected) in TABLE {
            let address: IpAddr = text.parse().expect("the table holds addresses");
            assert_eq!(reach(address), *expected, "{text}");
        }
    }

    #[test]
    fn a_private_host_does_not_open_what_nobody_may_reach() {
        for (text, expected) in TABLE {
            let address: IpAddr = text.parse().expect("the table holds addresses");
            assert_eq!(allowed(address, false), *expected == Reach::Public, "{text}");
            assert_eq!(allowed(address, true), *expected != Reach::Never, "{text}");
        }
    }
}
