//! Ranges of addresses, and which of them are never probed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A range of addresses in CIDR notation, such as `10.0.0.0/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Network {
    base: IpAddr,
    prefix: u8,
}

impl Network {
    /// Parses `address/prefix`; a lone address is a network of one. Bits beyond the prefix must be zero.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (base, prefix) = match text.split_once('/') {
            Some((base, prefix)) => (base, Some(prefix)),
            None => (text, None),
        };
        let base: IpAddr = base.parse().ok()?;
        let longest = if base.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            Some(prefix) if !prefix.is_empty() && prefix.bytes().all(|byte| byte.is_ascii_digit()) => {
                prefix.parse().ok().filter(|prefix| *prefix <= longest)?
            }
            Some(_) => return None,
            None => longest,
        };
        let network = Self { base, prefix };
        (network.masked(base) == Some(bits(base))).then_some(network)
    }

    const fn v4(base: [u8; 4], prefix: u8) -> Self {
        let [a, b, c, d] = base;
        Self { base: IpAddr::V4(Ipv4Addr::new(a, b, c, d)), prefix }
    }

    const fn v6(base: [u16; 8], prefix: u8) -> Self {
        let [a, b, c, d, e, f, g, h] = base;
        Self { base: IpAddr::V6(Ipv6Addr::new(a, b, c, d, e, f, g, h)), prefix }
    }

    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        self.masked(address).is_some_and(|masked| masked == bits(self.base))
    }

    pub(crate) fn contains_network(&self, other: &Self) -> bool {
        self.prefix <= other.prefix && self.contains(other.base)
    }

    /// The address with every bit beyond the prefix cleared; `None` for one of the other family.
    fn masked(&self, address: IpAddr) -> Option<u128> {
        if address.is_ipv4() != self.base.is_ipv4() {
            return None;
        }
        let width = if address.is_ipv4() { 32 } else { 128 };
        let host_bits = width - u32::from(self.prefix);
        let mask = u128::MAX.checked_shl(host_bits).unwrap_or(0);
        Some(bits(address) & mask)
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// The address as the operating system would use it: one that merely wraps an IPv4 address is that address.
pub(crate) fn canonical(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(wrapped) => wrapped.to_ipv4_mapped().map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    }
}

pub(crate) const LOOPBACK: [Network; 2] =
    [Network::v4([127, 0, 0, 0], 8), Network::v6([0, 0, 0, 0, 0, 0, 0, 1], 128)];

/// What no grant opens: a workload never lives there, and what does live there must not be asked.
pub(crate) const FORBIDDEN: [(Network, &str); 21] = [
    (Network::v4([169, 254, 0, 0], 16), "link-local, where clouds keep their credentials"),
    (Network::v4([100, 100, 100, 200], 32), "a cloud's metadata service"),
    (Network::v4([168, 63, 129, 16], 32), "a cloud's host agent"),
    (Network::v4([192, 0, 0, 192], 32), "a cloud's metadata service"),
    (Network::v6([0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x254], 128), "a cloud's metadata service"),
    (Network::v6([0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x254], 128), "a cloud's metadata service"),
    (Network::v4([0, 0, 0, 0], 8), "the unspecified network"),
    (Network::v4([224, 0, 0, 0], 4), "multicast"),
    (Network::v4([240, 0, 0, 0], 4), "reserved or broadcast"),
    (Network::v4([192, 0, 0, 0], 24), "reserved for protocols"),
    (Network::v4([192, 88, 99, 0], 24), "reserved for relays"),
    (Network::v6([0, 0, 0, 0, 0, 0, 0, 0], 128), "the unspecified address"),
    (Network::v6([0, 0, 0, 0, 0, 0, 0, 0], 96), "an IPv4 address in an obsolete spelling"),
    (Network::v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10), "link-local"),
    (Network::v6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10), "site-local, which is obsolete"),
    (Network::v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8), "multicast"),
    (Network::v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96), "a translated IPv4 address"),
    (Network::v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48), "a translated IPv4 address"),
    (Network::v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16), "a tunnelled IPv4 address"),
    (Network::v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 32), "a tunnelled IPv4 address"),
    (Network::v6([0, 0, 0, 0, 0xffff, 0, 0, 0], 96), "a translated IPv4 address"),
];

pub(crate) fn is_loopback(address: IpAddr) -> bool {
    LOOPBACK.iter().any(|network| network.contains(address))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_network_that_is_not_one_is_refused() {
        for text in [
            "",
            "10.0.0.0/33",
            "10.0.0.1/8",
            "10.0.0.0/",
            "10.0.0.0/-1",
            "10.0.0.0/+8",
            "::/129",
            "10.0.0/8",
            "x/8",
        ] {
            assert_eq!(Network::parse(text), None, "{text:?}");
        }
        for text in ["10.0.0.0/8", "0.0.0.0/0", "::/0", "2001:db8::/32", "192.0.2.7"] {
            assert!(Network::parse(text).is_some(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_network_holds_exactly_the_addresses_that_share_its_prefix(base in any::<u32>(), other in any::<u32>(), prefix in 0_u8..=32) {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            let network = Network::parse(&format!("{}/{prefix}", Ipv4Addr::from_bits(base & mask))).unwrap();
            let near = (base & mask) | (other & !mask);
            prop_assert!(network.contains(IpAddr::V4(Ipv4Addr::from_bits(near))));
            prop_assert_eq!(network.contains(IpAddr::V4(Ipv4Addr::from_bits(other))), base & mask == other & mask);
        }
    }
}
