//! Which network addresses a configured host name may lead to.
//!
//! Pure classification, so that everything that opens a connection filters by one rule (O4). An
//! address that only wraps an IPv4 address is judged by the address inside.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// How far an address reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Globally routable.
    Public,
    /// Loopback or a private network: only where `allow_private` says so (Q15).
    Private,
    /// Link-local, multicast, metadata, reserved or deprecated: no release gateway needs it.
    Never,
}

/// Addresses inside otherwise allowed ranges that hand out cloud credentials.
const METADATA_V4: [Ipv4Addr; 2] =
    [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(168, 63, 129, 16)];
/// The IPv6 form of the same.
const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);

/// True for globally routable addresses only.
pub fn is_public(address: IpAddr) -> bool {
    reach(address) == Reach::Public
}

/// True when a connection to `address` is allowed for something with this `allow_private` flag.
pub fn may_connect(address: IpAddr, allow_private: bool) -> bool {
    match reach(address) {
        Reach::Public => true,
        Reach::Private => allow_private,
        Reach::Never => false,
    }
}

/// Classifies an address by the IANA special-purpose registries (RFC 6890 and its updates).
pub fn reach(address: IpAddr) -> Reach {
    match address {
        IpAddr::V4(v4) => reach_v4(v4),
        IpAddr::V6(v6) => reach_v6(v6),
    }
}

fn reach_v4(address: Ipv4Addr) -> Reach {
    if METADATA_V4.contains(&address) {
        return Reach::Never;
    }
    match address.octets() {
        // Loopback, RFC 1918, carrier-grade NAT (RFC 6598) and benchmarking (RFC 2544).
        [10 | 127, ..]
        | [100, 64..=127, ..]
        | [172, 16..=31, ..]
        | [192, 168, ..]
        | [198, 18..=19, ..] => Reach::Private,
        // "This network", link-local, protocol assignments, documentation, 6to4 relays,
        // multicast and reserved.
        [0 | 224..=255, ..]
        | [169, 254, ..]
        | [192, 0, 0 | 2, _]
        | [192, 88, 99, _]
        | [198, 51, 100, _]
        | [203, 0, 113, _] => Reach::Never,
        _ => Reach::Public,
    }
}

fn reach_v6(address: Ipv6Addr) -> Reach {
    if address == METADATA_V6 {
        return Reach::Never;
    }
    if let Some(v4) = address.to_ipv4_mapped() {
        return reach_v4(v4);
    }
    match address.segments() {
        // NAT64 with the well-known prefix (RFC 6052) leads to the IPv4 address inside.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            let [a, b] = high.to_be_bytes();
            let [c, d] = low.to_be_bytes();
            reach_v4(Ipv4Addr::new(a, b, c, d))
        }
        // Loopback, unique local, the retired site-local, NAT64 with a local prefix (RFC 8215).
        [0, 0, 0, 0, 0, 0, 0, 1]
        | [0xfc00..=0xfdff | 0xfec0..=0xfeff, ..]
        | [0x64, 0xff9b, 1, ..] => Reach::Private,
        // Teredo and the rest of the protocol block, documentation, 6to4.
        [0x2001, 0..=0x1ff | 0xdb8, ..] | [0x2002, ..] | [0x3fff, 0..=0x0fff, ..] => Reach::Never,
        [0x2000..=0x3fff, ..] => Reach::Public,
        _ => Reach::Never,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Reach {
        reach(text.parse().unwrap())
    }

    /// Rule O4, rows J04.
    #[test]
    fn private_networks_need_the_flag() {
        for text in [
            "127.0.0.1",
            "127.255.255.254",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "100.64.0.1",
            "100.127.255.255",
            "198.18.0.1",
            "::1",
            "fc00::1",
            "fdff::1",
            "fec0::1",
            "::ffff:10.0.0.1",
            "::ffff:127.0.0.1",
            "64:ff9b::a00:1",
            "64:ff9b:1::a00:1",
        ] {
            assert_eq!(of(text), Reach::Private, "{text}");
            let address = text.parse().unwrap();
            assert!(!is_public(address) && !may_connect(address, false), "{text}");
            assert!(may_connect(address, true), "{text}");
        }
    }

    /// Rule O4, rows J04.
    #[test]
    fn some_addresses_are_refused_even_with_the_flag() {
        for text in [
            "0.0.0.0",
            "0.1.2.3",
            "169.254.169.254",
            "100.100.100.200",
            "168.63.129.16",
            "192.0.0.192",
            "192.0.2.1",
            "192.88.99.1",
            "198.51.100.7",
            "203.0.113.9",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::7f00:1",
            "::ffff:169.254.169.254",
            "::ffff:0.0.0.0",
            "64:ff9b::a9fe:a9fe",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::1",
            "3fff::1",
            "fd00:ec2::254",
            "fe80::1",
            "ff02::1",
        ] {
            assert_eq!(of(text), Reach::Never, "{text}");
            assert!(!may_connect(text.parse().unwrap(), true), "{text}");
        }
    }

    #[test]
    fn ordinary_addresses_are_public() {
        for text in [
            "1.1.1.1",
            "9.255.255.255",
            "100.63.255.255",
            "100.128.0.0",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "198.20.0.1",
            "223.255.255.255",
            "2606:4700::1",
            "2001:200::1",
            "::ffff:1.1.1.1",
            "64:ff9b::101:101",
        ] {
            assert!(is_public(text.parse().unwrap()), "{text}");
        }
    }
}
