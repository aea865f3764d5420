//! Where probes may go.

use runtime_domain::bug;
use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::address::parse_name;
use crate::network::{FORBIDDEN, LOOPBACK, Network, canonical, is_loopback};

/// The destinations that probes may go to. Empty, it allows none.
///
/// A grant of a network is for addresses written as such, a grant of a host for that one name and whatever it resolves to. Loopback
/// needs its own grant, also behind a name. Some ranges are never allowed, granted or not: see the crate's guarantees.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowList {
    loopback: bool,
    networks: Vec<Network>,
    hosts: BTreeSet<String>,
}

/// Builds an [`AllowList`], grant by grant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use = "nothing is allowed until `build` has made the list and a prober has it"]
pub struct AllowListBuilder {
    list: AllowList,
}

/// A grant that cannot be given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GrantError {
    /// Not a network.
    #[error(
        "`{0}` is not a network: write an address, a slash and a prefix with no bits beyond it, such as 10.0.0.0/8"
    )]
    NotANetwork(String),
    /// Not a host name.
    #[error(
        "`{0}` is not a host name: write it without port or scheme, such as cart.shop.svc, and addresses as networks"
    )]
    NotAHost(String),
    /// Loopback, which is granted by name.
    #[error("`{0}` is the machine itself: grant it with `allow_loopback`")]
    Loopback(String),
    /// A range that is never probed.
    #[error("`{network}` is never probed, since it is {what}: leave it out")]
    Forbidden {
        /// The network.
        network: String,
        /// What it is.
        what: &'static str,
    },
}

impl AllowList {
    /// A list that allows nothing yet.
    pub fn builder() -> AllowListBuilder {
        AllowListBuilder::default()
    }

    /// Whether this name may be resolved at all: an unknown name would tell a resolver what we were asked.
    pub(crate) fn allows_name(&self, name: &str) -> Result<(), String> {
        if self.hosts.contains(name) || (self.loopback && name == "localhost") {
            Ok(())
        } else {
            Err(format!("host `{name}` is not on the allow-list: grant it with `allow_host`"))
        }
    }

    /// Whether an address that was written as such may be asked.
    pub(crate) fn allows_literal(&self, address: IpAddr) -> Result<IpAddr, String> {
        let address = self.not_forbidden(address)?;
        if is_loopback(address) || self.networks.iter().any(|network| network.contains(address)) {
            Ok(address)
        } else {
            Err(format!("{address} is not on the allow-list: grant its network with `allow_network`"))
        }
    }

    /// Whether an address that an allowed name resolved to may be asked.
    pub(crate) fn allows_resolved(&self, name: &str, address: IpAddr) -> Result<IpAddr, String> {
        let address = self.not_forbidden(address)?;
        if name == "localhost" && !self.hosts.contains(name) && !is_loopback(address) {
            return Err(format!(
                "`localhost` resolves to {address}, which is not this machine: repair the resolver"
            ));
        }
        Ok(address)
    }

    fn not_forbidden(&self, address: IpAddr) -> Result<IpAddr, String> {
        let address = canonical(address);
        if is_loopback(address) {
            return if self.loopback {
                Ok(address)
            } else {
                Err(format!(
                    "{address} is this machine itself: grant it with `allow_loopback` if that is meant"
                ))
            };
        }
        match FORBIDDEN.iter().find(|(network, _)| network.contains(address)) {
            Some((_, what)) if !bug!("probe-reaches-inside") => {
                Err(format!("{address} is never probed, since it is {what}"))
            }
            _ => Ok(address),
        }
    }
}

impl AllowListBuilder {
    /// Grants this machine's own addresses: `127.0.0.0/8`, `::1`, and the name `localhost`.
    pub fn allow_loopback(mut self) -> Self {
        self.list.loopback = true;
        self
    }

    /// Grants the addresses of a network, such as `10.0.0.0/8`, except those that are never allowed or are loopback.
    ///
    /// # Errors
    /// Not a network, or one that lies wholly in loopback or in a range that is never allowed.
    pub fn allow_network(mut self, network: &str) -> Result<Self, GrantError> {
        let parsed = Network::parse(network).ok_or_else(|| GrantError::NotANetwork(network.to_owned()))?;
        if LOOPBACK.iter().any(|loopback| loopback.contains_network(&parsed)) {
            return Err(GrantError::Loopback(network.to_owned()));
        }
        if let Some((_, what)) = FORBIDDEN.iter().find(|(forbidden, _)| forbidden.contains_network(&parsed)) {
            return Err(GrantError::Forbidden { network: network.to_owned(), what });
        }
        self.list.networks.push(parsed);
        Ok(self)
    }

    /// Grants one host by its full name, in any case, whatever addresses it resolves to, except those that are never allowed, and
    /// loopback unless that is granted too.
    ///
    /// # Errors
    /// Not a host name.
    pub fn allow_host(mut self, name: &str) -> Result<Self, GrantError> {
        let name = parse_name(name).ok_or_else(|| GrantError::NotAHost(name.to_owned()))?;
        self.list.hosts.insert(name);
        Ok(self)
    }

    /// The list.
    #[must_use]
    pub fn build(self) -> AllowList {
        self.list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn everything() -> AllowList {
        AllowList::builder().allow_network("0.0.0.0/0").unwrap().allow_network("::/0").unwrap().build()
    }

    #[test]
    fn an_empty_list_allows_nothing() {
        let list = AllowList::default();
        for address in ["127.0.0.1", "10.0.0.1", "8.8.8.8", "::1", "2606:4700::1"] {
            assert!(list.allows_literal(address.parse().unwrap()).is_err(), "{address}");
        }
        assert!(list.allows_name("localhost").is_err());
        assert!(list.allows_name("cart").is_err());
    }

    /// Buried: health probe as SSRF.
    #[test]
    fn hostile_addresses_stay_denied_though_every_network_is_granted() {
        let list = everything();
        for address in [
            "127.0.0.1",
            "127.255.255.254",
            "::1",
            "::ffff:127.0.0.1",
            "::127.0.0.1",
            "0.0.0.0",
            "0.1.2.3",
            "::",
            "::ffff:0.0.0.0",
            "169.254.169.254",
            "169.254.0.1",
            "::ffff:169.254.169.254",
            "::ffff:a9fe:a9fe",
            "::169.254.169.254",
            "64:ff9b::169.254.169.254",
            "64:ff9b:1::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
            "2001:0:a9fe:a9fe::1",
            "::ffff:0:169.254.169.254",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "fd00:ec2::254",
            "fd20:ce::254",
            "100.100.100.200",
            "168.63.129.16",
            "192.0.0.192",
            "224.0.0.1",
            "239.255.255.250",
            "ff02::1",
            "255.255.255.255",
            "240.0.0.1",
        ] {
            assert!(list.allows_literal(address.parse().unwrap()).is_err(), "{address}");
            assert!(list.allows_resolved("cart", address.parse().unwrap()).is_err(), "{address}");
        }
        for address in ["10.0.0.1", "8.8.8.8", "2606:4700::1", "fd12:3456::1"] {
            assert_eq!(list.allows_literal(address.parse().unwrap()), Ok(address.parse().unwrap()));
        }
    }

    #[test]
    fn a_granted_network_allows_its_own_addresses_in_either_spelling() {
        let list = AllowList::builder().allow_network("10.1.0.0/16").unwrap().build();
        let plain: IpAddr = "10.1.2.3".parse().unwrap();
        assert_eq!(list.allows_literal(plain), Ok(plain));
        assert_eq!(list.allows_literal("::ffff:10.1.2.3".parse().unwrap()), Ok(plain));
        assert!(list.allows_literal("10.2.0.1".parse().unwrap()).is_err());
        assert!(list.allows_literal("::ffff:10.2.0.1".parse().unwrap()).is_err());
    }

    #[test]
    fn loopback_is_allowed_by_its_own_grant_and_nothing_else_is() {
        let list = AllowList::builder().allow_loopback().build();
        for address in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
            assert!(list.allows_literal(address.parse().unwrap()).is_ok(), "{address}");
        }
        assert!(list.allows_literal("10.0.0.1".parse().unwrap()).is_err());
        assert!(list.allows_name("localhost").is_ok());
        assert!(list.allows_resolved("localhost", "10.0.0.1".parse().unwrap()).is_err());
    }

    #[test]
    fn a_grant_that_cannot_be_meant_is_refused() {
        let builder = AllowList::builder;
        assert!(matches!(builder().allow_network("127.0.0.0/8"), Err(GrantError::Loopback(_))));
        assert!(matches!(builder().allow_network("127.0.0.1"), Err(GrantError::Loopback(_))));
        assert!(matches!(builder().allow_network("::1"), Err(GrantError::Loopback(_))));
        assert!(matches!(builder().allow_network("169.254.0.0/16"), Err(GrantError::Forbidden { .. })));
        assert!(matches!(builder().allow_network("fe80::/64"), Err(GrantError::Forbidden { .. })));
        assert!(matches!(builder().allow_network("everything"), Err(GrantError::NotANetwork(_))));
        for host in ["cart:80", "http://cart", "10.0.0.1", "*.shop", ""] {
            assert!(matches!(builder().allow_host(host), Err(GrantError::NotAHost(_))), "{host}");
        }
    }
}
