//! Arithmetic of blocks: what is left of one, and where there is room.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

/// The router of the public interfaces of all servers (Hetzner's API reference, networks): no interface of a network can
/// have it, and no route can lead to it.
pub const PUBLIC_ROUTER: Ipv4Addr = Ipv4Addr::new(172, 31, 1, 1);

/// Whether two blocks share an address.
pub fn overlap(a: Ipv4Net, b: Ipv4Net) -> bool {
    a.contains(&b) || b.contains(&a)
}

/// What is left of `block` without `holes`, as few blocks, in order.
pub fn without(block: Ipv4Net, holes: &[Ipv4Net]) -> Vec<Ipv4Net> {
    let mut left = vec![block.trunc()];
    for hole in holes {
        left = left.into_iter().flat_map(|block| minus(block, *hole)).collect();
    }
    Ipv4Net::aggregate(&left)
}

fn minus(block: Ipv4Net, hole: Ipv4Net) -> Vec<Ipv4Net> {
    if !overlap(block, hole) {
        return vec![block];
    }
    if hole.contains(&block) {
        return Vec::new();
    }
    match block.subnets(block.prefix_len() + 1) {
        Ok(halves) => halves.flat_map(|half| minus(half, hole)).collect(),
        // A single address has no halves; it is in the hole or out of it.
        Err(_) => Vec::new(),
    }
}

/// The highest block of this length in `range` that shares no address with `taken`. The first address of the range is
/// Hetzner's router, so it stays out.
pub fn highest_free(range: Ipv4Net, prefix_len: u8, taken: &[Ipv4Net]) -> Option<Ipv4Net> {
    let range = range.trunc();
    if prefix_len < range.prefix_len() {
        return None;
    }
    let router = u32::from(range.network()) + 1;
    let holes: Vec<Ipv4Net> = taken.iter().copied().chain([Ipv4Net::from(Ipv4Addr::from(router))]).collect();
    let room = without(range, &holes);
    let block = room.into_iter().rfind(|free| free.prefix_len() <= prefix_len)?;
    Ipv4Net::new(block.broadcast(), prefix_len).ok().map(|block| block.trunc())
}

/// The highest addresses of a subnet that a server can have and nobody has: not its network and broadcast addresses,
/// not Hetzner's routers.
pub fn highest_addresses(subnet: Ipv4Net, network: Ipv4Net, taken: &[Ipv4Addr], count: usize) -> Vec<Ipv4Addr> {
    let subnet = subnet.trunc();
    let (first, last) = (u32::from(subnet.network()), u32::from(subnet.broadcast()));
    let router = u32::from(network.trunc().network()) + 1;
    (first.saturating_add(1)..last)
        .rev()
        .filter(|address| *address != router)
        .map(Ipv4Addr::from)
        .filter(|address| *address != PUBLIC_ROUTER && !taken.contains(address))
        .take(count)
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn nets(texts: &[&str]) -> Vec<Ipv4Net> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn a_block_loses_its_holes() {
        let check = |block: &str, holes: &[&str], expected: &[&str]| {
            assert_eq!(without(block.parse().unwrap(), &nets(holes)), nets(expected), "{block} without {holes:?}");
        };
        check("10.0.0.0/24", &[], &["10.0.0.0/24"]);
        check("10.0.0.0/24", &["10.1.0.0/16"], &["10.0.0.0/24"]);
        check("10.0.0.0/24", &["10.0.0.0/8"], &[]);
        check("10.0.0.0/24", &["10.0.0.0/25"], &["10.0.0.128/25"]);
        check("10.0.0.0/30", &["10.0.0.1/32"], &["10.0.0.0/32", "10.0.0.2/31"]);
    }

    #[test]
    fn the_highest_free_block_is_found() {
        let check = |range: &str, taken: &[&str], expected: Option<&str>| {
            let found = highest_free(range.parse().unwrap(), 28, &nets(taken));
            assert_eq!(found, expected.map(|text| text.parse().unwrap()), "{range} with {taken:?}");
        };
        check("10.1.0.0/16", &[], Some("10.1.255.240/28"));
        check("10.1.0.0/16", &["10.1.255.0/24"], Some("10.1.254.240/28"));
        check("10.1.0.0/16", &["10.1.0.0/16"], None);
        check("10.1.0.0/27", &[], Some("10.1.0.16/28"));
        check("10.1.0.0/27", &["10.1.0.16/28"], None);
        // Hetzner's router has the first address.
        check("10.1.0.0/28", &[], None);
        check("10.1.0.0/30", &[], None);
        check("10.0.0.0/8", &["10.128.0.0/9"], Some("10.127.255.240/28"));
    }

    #[test]
    fn the_highest_free_addresses_are_found() {
        let check = |subnet: &str, network: &str, taken: &[&str], expected: &[&str]| {
            let taken: Vec<Ipv4Addr> = taken.iter().map(|text| text.parse().unwrap()).collect();
            let expected: Vec<Ipv4Addr> = expected.iter().map(|text| text.parse().unwrap()).collect();
            let (subnet, network) = (subnet.parse().unwrap(), network.parse().unwrap());
            assert_eq!(highest_addresses(subnet, network, &taken, 2), expected);
        };
        check("10.1.0.0/16", "10.1.0.0/16", &[], &["10.1.255.254", "10.1.255.253"]);
        check("10.1.0.0/30", "10.1.0.0/30", &[], &["10.1.0.2"]);
        check("10.1.0.0/30", "10.1.0.0/30", &["10.1.0.2"], &[]);
        check("10.1.1.0/32", "10.1.0.0/16", &[], &[]);
        check("172.31.1.0/30", "172.31.0.0/16", &[], &["172.31.1.2"]);
    }

    fn block() -> impl Strategy<Value = Ipv4Net> {
        (any::<u16>(), 20_u8..=32).prop_map(|(low, length)| {
            Ipv4Net::new(Ipv4Addr::from(0x0a01_0000 | u32::from(low)), length).unwrap().trunc()
        })
    }

    proptest! {
        #[test]
        fn an_address_is_left_if_no_hole_has_it(holes in prop::collection::vec(block(), 0..12), low in any::<u16>()) {
            let left = without("10.1.0.0/16".parse().unwrap(), &holes);
            let address = Ipv4Addr::from(0x0a01_0000 | u32::from(low));
            let is_left = left.iter().filter(|block| block.contains(&address)).count();
            prop_assert_eq!(is_left, usize::from(!holes.iter().any(|hole| hole.contains(&address))));
        }

        #[test]
        fn a_free_block_is_free_and_none_is_higher(taken in prop::collection::vec(block(), 0..12)) {
            let range: Ipv4Net = "10.1.0.0/16".parse().unwrap();
            let router: Ipv4Addr = "10.1.0.1".parse().unwrap();
            let expected = range.subnets(28).unwrap().collect::<Vec<_>>().into_iter().rev()
                .find(|block| !block.contains(&router) && !taken.iter().any(|taken| overlap(*taken, *block)));
            prop_assert_eq!(highest_free(range, 28, &taken), expected);
        }
    }
}
