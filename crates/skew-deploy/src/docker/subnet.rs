//! Subnets of a range that nobody uses: neither Docker nor the machine's own routes.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// Every network has at least this many addresses, so that it is not full at once.
const SMALLEST: u32 = 28;

/// A block of IPv4 addresses, `198.18.0.0/16`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subnet {
    base: u32,
    bits: u32,
}

/// Text that is no subnet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no block of IPv4 addresses such as 198.18.0.0/16, from /8 to /30, with nothing set beyond its prefix"
)]
pub struct SubnetError(String);

impl Default for Subnet {
    /// 198.18.0.0/16, of the block that is reserved for benchmarks: it is nobody's LAN.
    fn default() -> Self {
        Self { base: u32::from(Ipv4Addr::new(198, 18, 0, 0)), bits: 16 }
    }
}

impl FromStr for Subnet {
    type Err = SubnetError;

    fn from_str(text: &str) -> Result<Self, SubnetError> {
        let parse = || {
            let (base, bits) = text.split_once('/')?;
            let (base, bits) = (u32::from(base.parse::<Ipv4Addr>().ok()?), bits.parse::<u32>().ok()?);
            let subnet = Self { base, bits };
            ((8..=30).contains(&bits) && base & !subnet.mask() == 0).then_some(subnet)
        };
        parse().ok_or_else(|| SubnetError(text.chars().take(100).collect()))
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from(self.base), self.bits)
    }
}

impl Subnet {
    fn mask(self) -> u32 {
        u32::MAX.checked_shl(32 - self.bits).unwrap_or(0)
    }

    fn overlaps(self, other: Self) -> bool {
        let mask = self.mask() & other.mask();
        self.base & mask == other.base & mask
    }

    /// The address of its router: the first.
    pub(super) fn gateway(self) -> Ipv4Addr {
        Ipv4Addr::from(self.base + 1)
    }

    /// The address of the nth node.
    pub(super) fn node(self, n: usize) -> Option<Ipv4Addr> {
        let address = self.base.checked_add(u32::try_from(n).ok()?.checked_add(2)?)?;
        (address < self.base | !self.mask()).then(|| Ipv4Addr::from(address))
    }

    /// The smallest block for so many nodes within this range that overlaps with none of `used`. The search begins at a
    /// place that `seed` says, so that those who search at once rarely find the same.
    pub(super) fn free(self, nodes: usize, used: &[Self], seed: u64) -> Option<Self> {
        // The block's own address, its broadcast address and its router's are no node's.
        let wanted = u32::try_from(nodes).ok()?.checked_add(3)?;
        let bits = (32 - wanted.next_power_of_two().trailing_zeros()).min(SMALLEST);
        let count = 1u64 << bits.checked_sub(self.bits)?;
        let block = |n: u64| {
            let offset = u32::try_from((seed.wrapping_add(n)) % count).unwrap_or(0);
            Self { base: self.base + (offset << (32 - bits)), bits }
        };
        (0..count).map(block).find(|block| !used.iter().any(|used| used.overlaps(*block)))
    }
}

/// The blocks that this machine routes somewhere, of the text of `/proc/net/route`. The default route is none.
pub(super) fn routes(text: &str) -> Vec<Subnet> {
    let number = |field: &str| u32::from_str_radix(field, 16).ok().map(u32::from_be);
    let route = |line: &str| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let (base, mask) = (number(fields.get(1)?)?, number(fields.get(7)?)?);
        (mask != 0).then_some(Subnet { base, bits: mask.leading_ones() })
    };
    text.lines().skip(1).filter_map(route).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(text: &str) -> Subnet {
        text.parse().unwrap()
    }

    #[test]
    fn subnets_are_read_and_written() {
        for good in ["198.18.0.0/16", "10.0.0.0/8", "192.0.2.4/30"] {
            assert_eq!(subnet(good).to_string(), good);
        }
        for bad in ["198.18.0.1/16", "198.18.0.0", "1.2.3.0/33", "0.0.0.0/0", "x/16", "::/64", "1.2.3.4/31"] {
            assert!(bad.parse::<Subnet>().is_err(), "{bad}");
        }
        assert_eq!(Subnet::default(), subnet("198.18.0.0/16"));
    }

    #[test]
    fn a_block_holds_its_nodes() {
        for (nodes, want) in [(1, "/28"), (13, "/28"), (14, "/27"), (200, "/24"), (253, "/24"), (254, "/23")] {
            let block = Subnet::default().free(nodes, &[], 0).unwrap();
            assert_eq!(block.to_string(), format!("198.18.0.0{want}"), "{nodes}");
            let last = block.node(nodes - 1).unwrap();
            assert!(block.node(0).unwrap() > block.gateway() && last > block.gateway(), "{nodes}");
        }
        assert_eq!(subnet("10.0.0.0/28").node(12), Some(Ipv4Addr::new(10, 0, 0, 14)));
        assert_eq!(subnet("10.0.0.0/28").node(13), None);
        assert_eq!(subnet("10.0.0.0/28").free(14, &[], 0), None);
    }

    #[test]
    fn used_blocks_are_left_alone() {
        let range = subnet("10.0.0.0/26");
        let used = [subnet("10.0.0.0/28"), subnet("10.0.0.32/30"), subnet("192.0.2.0/24")];
        let mut found: Vec<_> = (0..4).filter_map(|seed| range.free(3, &used, seed)).map(|s| s.to_string()).collect();
        found.sort();
        found.dedup();
        assert_eq!(found, ["10.0.0.16/28", "10.0.0.48/28"]);
        assert_eq!(range.free(3, &[subnet("10.0.0.0/8")], 7), None);
    }

    #[test]
    fn routes_of_the_machine_are_read() {
        let text = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n\
            eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
            docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n\
            garbage\n";
        assert_eq!(routes(text), [subnet("172.17.0.0/16")]);
    }
}
