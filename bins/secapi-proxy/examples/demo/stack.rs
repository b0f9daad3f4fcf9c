//! What the story makes, as specifications: the walk of SECA's own usage page.

use seca_client::seca_api::{
    BlockStorageSpec, Cidr, Direction, Draft, InstanceSpec, IpVersion, NetworkSpec, NicSpec, Ports, Protocol,
    PublicIpSpec, Reference, RouteSpec, RouteTableSpec, SecurityGroupRuleSpec, SecurityGroupSpec, SubnetSpec,
    VolumeReference,
};

/// The image that the instance boots.
pub(crate) const IMAGE: &str = "ubuntu-24.04";
/// The block of the network.
pub(crate) const NETWORK: &str = "10.42.0.0/16";
/// The address that the NIC asks for; another one it takes as it comes.
pub(crate) const ADDRESS: &str = "10.42.1.10";
/// The one address that may reach the guest by SSH.
pub(crate) const OFFICE: &str = "203.0.113.7";
/// The group of instances that run on different hosts.
pub(crate) const GROUP: &str = "apart";
/// A public key. Nobody has the private half any more.
pub(crate) const KEY: &str = include_str!("key.pub");
/// The size of the data volume in GB.
pub(crate) const DATA_GB: u32 = 10;

pub(crate) fn network() -> NetworkSpec {
    NetworkSpec {
        cidr: Cidr::v4(NETWORK),
        additional_cidrs: Vec::new(),
        sku_ref: Reference::new("skus/hcloud-network"),
    }
}

pub(crate) fn routes() -> RouteTableSpec {
    let default_route = RouteSpec {
        destination_cidr_block: "0.0.0.0/0".to_owned(),
        target_ref: Reference::new("internet-gateways/gateway"),
    };
    RouteTableSpec { routes: vec![default_route] }
}

pub(crate) fn subnet() -> SubnetSpec {
    SubnetSpec {
        cidr: Cidr::v4("10.42.1.0/24"),
        zone: None,
        route_table_ref: Some(Reference::new("networks/net/route-tables/routes")),
        sku_ref: None,
    }
}

/// SSH from one address, the web from everywhere, and everything outwards: what no rule names does not pass.
pub(crate) fn group() -> SecurityGroupSpec {
    let ingress = |port, sources: &[&str]| SecurityGroupRuleSpec {
        annotations: None,
        direction: Direction::Ingress,
        version: None,
        protocol: Some(Protocol::Tcp),
        ports: Some(Ports { from: Some(port), to: Some(port), list: Vec::new() }),
        icmp: None,
        source_ref: sources.iter().map(|source| Reference::new(*source)).collect(),
    };
    let outwards = |protocol| SecurityGroupRuleSpec {
        direction: Direction::Egress,
        protocol: Some(protocol),
        ports: None,
        ..ingress(1, &[])
    };
    let rules = vec![
        ingress(22, &[OFFICE]),
        ingress(80, &[]),
        ingress(443, &[]),
        outwards(Protocol::TcpUdp),
        outwards(Protocol::Icmp),
    ];
    SecurityGroupSpec { rules, rule_refs: Vec::new() }
}

pub(crate) fn public_ip() -> PublicIpSpec {
    PublicIpSpec { version: IpVersion::IPv4, address: None }
}

pub(crate) fn nic() -> NicSpec {
    NicSpec {
        security_group_refs: vec![Reference::new("security-groups/web")],
        addresses: vec![ADDRESS.to_owned(), "0.0.0.0".to_owned()],
        public_ip_refs: vec![Reference::new("public-ips/front")],
        sku_ref: None,
        subnet_ref: Reference::new("networks/net/subnets/subnet"),
    }
}

pub(crate) fn boot() -> BlockStorageSpec {
    BlockStorageSpec { source_image_ref: Some(Reference::new(format!("images/{IMAGE}"))), size_gb: 20, ..data() }
}

pub(crate) fn data() -> BlockStorageSpec {
    BlockStorageSpec { sku_ref: Reference::new("skus/hcloud-volume"), size_gb: DATA_GB, source_image_ref: None }
}

pub(crate) fn instance(sku: &str, zone: String) -> Draft<InstanceSpec> {
    let volume = |name: &str| VolumeReference::new(Reference::new(format!("block-storages/{name}")));
    Draft::new(InstanceSpec {
        sku_ref: Reference::new(format!("skus/{sku}")),
        primary_nic_ref: Some(Reference::new("nics/front")),
        additional_nic_refs: Vec::new(),
        zone,
        security_group_ref: None,
        user_data: None,
        anti_affinity_group: Some(GROUP.to_owned()),
        ssh_keys: vec![KEY.trim().to_owned()],
        boot_volume: volume("boot"),
        data_volumes: vec![volume("data")],
    })
}
